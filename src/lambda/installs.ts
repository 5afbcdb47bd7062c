/** How far the installs of uploaded functions have come, for whoever asks; the last upload of each name counts. */
import type { ArgyleError } from '../errors';

/** Most functions that are remembered; the oldest upload goes first. */
const MOST = 1_000;

export interface InstalledPackage {
  spec: string;
  ms: number;
  bytes: number;
}

export interface InstallState {
  state: 'checking' | 'installing' | 'ready' | 'failed' | 'lazy';
  packages: InstalledPackage[];
  /** Why it failed. */
  error?: string;
}

export class InstallBoard {
  private readonly states = new Map<string, InstallState>();

  /** A new upload of this function; the caller changes what is returned. */
  begin(name: string): InstallState {
    const state: InstallState = { state: 'checking', packages: [] };
    this.states.delete(name);
    this.states.set(name, state);
    const [oldest] = this.states.keys();
    if (this.states.size > MOST && oldest !== undefined) this.states.delete(oldest);
    return state;
  }

  /** undefined for a function that was not uploaded here since the start. */
  of(name: string): InstallState | undefined {
    return this.states.get(name);
  }

  forget(name: string): void {
    this.states.delete(name);
  }
}

export function failed(state: InstallState, error: ArgyleError): void {
  state.state = 'failed';
  state.error = error.message;
}
