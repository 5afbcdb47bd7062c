/** The stores with a client library. Each library is large, so it is loaded only for a setting with its scheme. */
import type { StoreOpener } from './open-store';

export const BUCKET_STORES: Readonly<Record<string, StoreOpener>> = {
  s3: async (url) => (await import('./s3-store.js')).openS3(url),
  gs: async (url) => (await import('./gs-store.js')).openGs(url),
};
