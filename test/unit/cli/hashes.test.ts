import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostTools } from '../../../src/cli/admin/host-tools';
import { lockFolder } from '../../../src/cli/admin/locking';
import { startTestMirror, type TestMirror } from '../../support/mirror';

jest.setTimeout(60_000);

const SPEC = 'argyle-sample-tiny==1.0.0';
const OWN = `sha256:${'0'.repeat(64)}`;
const INDEX = expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string;

let mirror: TestMirror;
let dir: string;
beforeAll(async () => (mirror = await startTestMirror()));
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'argyle-hashes-'))));
afterEach(() => {
  rmSync(dir, { recursive: true });
});
afterAll(() => mirror.close());

async function lock(requirements: string) {
  writeFileSync(join(dir, 'requirements.txt'), requirements);
  return lockFolder(dir, await hostTools('', mirror.url, process.env));
}

test("a lock has the hashes of requirements.txt instead of the index's hashes", async () => {
  const locked = await lock(`${SPEC} ; python_version >= "3" \\\n    --hash=${OWN}\n`);
  expect(locked?.pins).toEqual([{ spec: SPEC, hashes: [OWN] }]);
  expect(locked?.lock).toContain(`--hash=${OWN}`);
});

test.each([`${SPEC}\n`, 'argyle-sample-tiny<1.1\n'])(
  "a lock of %j without hashes has the index's hashes",
  async (text) => {
    expect((await lock(text))?.pins).toEqual([{ spec: SPEC, hashes: [INDEX] }]);
  },
);

test('--require-hashes without a hash is refused before anything is uploaded', async () => {
  await expect(lock(`--require-hashes\n${SPEC}\n`)).rejects.toThrow(`gives no hash for ${SPEC};`);
});
