import { ArgyleError } from '../../../../src/errors';
import { splitHashes, withGivenHashes } from '../../../../src/packages/requirements/hashes';
import { readRequirements } from '../../../../src/packages/requirements/requirements-file';

const hash = (digit: string): string => `sha256:${digit.repeat(64)}`;
const A = hash('a');
const B = hash('b');
const C = hash('c');

/** Pins of a resolver, each with the index's hash. */
async function given(files: Record<string, string> | string, ...specs: string[]) {
  const texts = typeof files === 'string' ? { 'requirements.txt': files } : files;
  const input = await readRequirements((name) => Promise.resolve(texts[name]), 'requirements.txt');
  return withGivenHashes(
    input,
    specs.map((spec) => ({ spec, hashes: [C] })),
  );
}

describe('the hashes of a requirements file', () => {
  test("replace the index's hashes, in any notation", async () => {
    const text = `Six==1.15.0 --hash=${A} --hash ${B.toUpperCase().replace('SHA256', 'sha256')}\nidna==3.10 \\\n  --hash="${B}"\n`;
    expect(await given(text, 'six==1.15.0', 'idna==3.10')).toEqual([
      { spec: 'six==1.15.0', hashes: [A, B] },
      { spec: 'idna==3.10', hashes: [B] },
    ]);
  });

  test("are the index's when the file has none", async () => {
    expect(await given('six\n', 'six==1.15.0')).toEqual([{ spec: 'six==1.15.0', hashes: [C] }]);
  });

  test('are selected by version when there are several lines', async () => {
    const text = `a==1.0 ; python_version < "3.9" --hash=${A}\na==2.0 ; python_version >= "3.9" --hash=${B}\n`;
    expect(await given(text, 'a==2.0')).toEqual([{ spec: 'a==2.0', hashes: [B] }]);
    expect(await given(`t==2.1 --hash=${A}\n`, 't==2.1.0+cpu')).toEqual([{ spec: 't==2.1.0+cpu', hashes: [A] }]);
    expect(await given(`r[x]>=2 --hash=${A}\n`, 'r[x]==2.1')).toEqual([{ spec: 'r[x]==2.1', hashes: [A] }]);
  });

  test('are restricted by constraints', async () => {
    const files = (limits: string) => ({
      'requirements.txt': `-c limits.txt\na==1 --hash=${A} --hash=${B}\n`,
      'limits.txt': limits,
    });
    expect(await given(files(`a --hash=${B}\n`), 'a==1')).toEqual([{ spec: 'a==1', hashes: [B] }]);
    await expect(given(files(`a --hash=${C}\n`), 'a==1')).rejects.toThrow(/^a==1: .*none in common/);
    const only = { 'requirements.txt': '-c limits.txt\na==1\nb==1\n', 'limits.txt': `a --hash=${B}\n` };
    expect((await given(only, 'a==1', 'b==1')).map(({ hashes }) => hashes)).toEqual([[B], [C]]);
  });

  test.each([
    ['--require-hashes\nneeded==1.0\nsix==1.15.0 --hash=' + A, 'needed==1.0'],
    [`six==1.15.0 --hash=${A}\nidna==3.10\n`, 'idna==3.10'],
    [`six==1.15.0 --hash=${A}\n`, 'needed==1.0'],
  ])('of %j are required for every pin, as by pip', async (text, missing) => {
    const error: unknown = await given(text, 'six==1.15.0', missing).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ArgyleError);
    expect(error).toMatchObject({ code: 'REQUIREMENT_INVALID', value: missing });
    expect((error as ArgyleError).message).toContain(`gives no hash for ${missing};`);
  });

  test.each([
    ['md5:00', /"md5" is no kind of hash that pip takes; use sha256/],
    ['constructor:00', /no kind of hash/],
    ['sha256:00', /a sha256 hash has 64 hexadecimal digits/],
    [`sha256:${'g'.repeat(64)}`, /64 hexadecimal/],
    [`${A}:${'0'.repeat(64)}`, /64 hexadecimal/],
    [`${A} ; python_version > "3"`, /expected only --hash/],
    [`${A} --config-settings=x`, /expected only --hash/],
    ['', /no kind of hash/],
  ])('--hash=%s is refused with its line', async (value, reason) => {
    const error: unknown = await given(`six==1.15.0 --hash=${value}\n`).catch((thrown: unknown) => thrown);
    expect((error as ArgyleError).message).toMatch(/^requirements\.txt line 1: /);
    expect((error as ArgyleError).message).toMatch(reason);
    expect(splitHashes(`six==1 --hash=sha512:${'0'.repeat(128)}`).fault).toBeUndefined();
  });
});
