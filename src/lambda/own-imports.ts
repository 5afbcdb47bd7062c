/**
 * Variables of a function's environment that packages read when they are imported. A zygote imports packages before the
 * function is known, so functions that set such a variable must import the package themselves.
 */
import type { PackageImport } from '../sandbox/types';

/** How many threads numeric libraries start: OMP_NUM_THREADS, MKL_DYNAMIC, NUMEXPR_MAX_THREADS… */
const THREADS = /^(OMP|KMP|GOMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB)_|_(NUM|MAX)_THREADS$/;

/**
 * The packages that a zygote may have imported for a function with this environment. POLICY: all of its own, or none
 * when the environment has a variable for threads, or one that begins with the name of a module and `_`, as POLARS_…
 * does. No other variable is known to be a package's (MPLBACKEND is not): most are the function's own.
 */
export function importedAhead<T extends PackageImport>(packages: T[], env: Record<string, string>): T[] {
  const names = Object.keys(env);
  const modules = packages.flatMap((item) => item.modules.map((name) => `${name.toUpperCase()}_`));
  const matters = (name: string): boolean => THREADS.test(name) || modules.some((prefix) => name.startsWith(prefix));
  return names.some(matters) ? [] : packages;
}
