/** A planner over a fake installer, for functions' packages. Nothing is resolved. */
import type { FunctionPackages, PackageService } from '../../src/lambda/ports';

export function plansOver(packages: PackageService): FunctionPackages {
  const pinsOf: FunctionPackages['plan'] = (request) =>
    Promise.resolve({ pins: request.kind === 'pins' ? request.pins : [], complete: true });
  return {
    plan: pinsOf,
    planVersion: (_name, _version, request) => pinsOf(request),
    install: async (plan) => {
      const imports =
        plan.pins.length === 0 ? [] : await packages.ensureInstalled(plan.pins.map(({ spec }) => spec).join('\n'));
      return { imports, plan };
    },
    remember: () => Promise.resolve(),
  };
}
