/** The stores that come with a client of their own. Those are large: each is loaded when a setting names its scheme. */
import type { StoreOpener } from './open-store';

export const BUCKET_STORES: Readonly<Record<string, StoreOpener>> = {
  s3: async (url) => (await import('./s3-store.js')).openS3(url),
  gs: async (url) => (await import('./gs-store.js')).openGs(url),
};
