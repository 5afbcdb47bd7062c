/** requirements.txt of an archive, checked line by line as far as its text tells. */
import { ArgyleError } from '../../errors';
import { MAX_REQUIREMENTS, normalizeLine, parseSpec } from '../../packages/requirements';

/** Bound of the lines that one error names. */
const MAX_NAMED = 10;

/**
 * The specs of a requirements.txt, each once.
 * @throws ArgyleError REQUIREMENT_INVALID that names every line that can never be installed
 */
export function readRequirements(text: string): string[] {
  const specs = new Set<string>();
  const faults: ArgyleError[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .forEach((line, index) => {
      const spec = normalizeLine(line);
      if (spec === '' || specs.has(spec) || faults.length > MAX_NAMED) return;
      const where = `requirements.txt line ${index + 1}`;
      try {
        if (specs.size === MAX_REQUIREMENTS) {
          throw new ArgyleError('REQUIREMENT_INVALID', `${where}: more than ${MAX_REQUIREMENTS} packages`);
        }
        specs.add(parseSpec(spec, where).spec);
      } catch (thrown) {
        if (!(thrown instanceof ArgyleError)) throw thrown;
        faults.push(thrown);
      }
    });
  const [first] = faults;
  if (first === undefined) return [...specs];
  const named = faults.slice(0, MAX_NAMED).map(({ message }) => message);
  const more = faults.length > MAX_NAMED ? ['and more'] : [];
  const at = { ...(first.field === undefined ? {} : { field: first.field }), value: first.value ?? '' };
  throw new ArgyleError('REQUIREMENT_INVALID', [...named, ...more].join('; '), at);
}
