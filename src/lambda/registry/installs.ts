/** Progress of the installs of uploaded functions. The last upload of each name counts. */
import type { ArgyleError } from '../../errors';

/** Maximum number of functions that are remembered. The oldest upload is forgotten first. */
const MOST = 1_000;

export interface InstalledPackage {
  spec: string;
  ms: number;
  bytes: number;
}

export interface InstallState {
  state: 'checking' | 'installing' | 'ready' | 'failed' | 'lazy';
  packages: InstalledPackage[];
  /** Warnings for the function's owner, such as a secret that is not set, or a key of ol.yaml without an effect. */
  warnings?: string[];
  /** Error message of a failed install. */
  error?: string;
}

export class InstallStates {
  private readonly states = new Map<string, InstallState>();

  /** Records a new upload of this function. The caller updates the returned object. */
  begin(name: string): InstallState {
    const state: InstallState = { state: 'checking', packages: [] };
    this.states.delete(name);
    this.states.set(name, state);
    const [oldest] = this.states.keys();
    if (this.states.size > MOST && oldest !== undefined) this.states.delete(oldest);
    return state;
  }

  /** undefined for a function that was not uploaded to this worker since its start. */
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
