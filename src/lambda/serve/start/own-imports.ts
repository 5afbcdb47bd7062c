/**
 * Variables of a function's environment that packages read when they are imported. A zygote imports packages before the
 * function is known. A function that sets such a variable must therefore import the package itself.
 */
import type { PackageImport } from '../../../sandbox/types';

/** Variables for the number of threads of numeric libraries: OMP_NUM_THREADS, MKL_DYNAMIC, NUMEXPR_MAX_THREADS, … */
const THREADS = /^(OMP|KMP|GOMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB)_|_(NUM|MAX)_THREADS$/;

/**
 * The packages that a zygote may import for a function with this environment.
 * POLICY: either all packages of the function, or none. The result is empty when the environment has a variable for
 * threads, or a variable that begins with the name of a module and `_`, such as POLARS_…. Other variables, such as
 * MPLBACKEND, do not count: most of them are the function's own.
 */
export function importedAhead<T extends PackageImport>(packages: T[], env: Record<string, string>): T[] {
  const names = Object.keys(env);
  const modules = packages.flatMap((item) => item.modules.map((name) => `${name.toUpperCase()}_`));
  const matters = (name: string): boolean => THREADS.test(name) || modules.some((prefix) => name.startsWith(prefix));
  return names.some(matters) ? [] : packages;
}
