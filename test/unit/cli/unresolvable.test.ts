/** What `ol admin install` says about requirements that no index can satisfy. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostTools, reasonIn } from '../../../src/cli/admin/host-tools';
import { installFolder } from '../../../src/cli/admin/install-folder';
import { ROOT } from '../../support/ol';

jest.setTimeout(60_000);

const withUv = existsSync(join(ROOT, 'build/guest/uv')) ? test : test.skip;
const REFUSAL = 'Failed to add lambda: could not install nosuch==1.0: the worker says why';

test('the reason of a resolver contains no warnings, no prefix and no credentials', () => {
  expect(
    reasonIn('warning: Requirements file `/tmp/ol-resolve-x/constraints.in` is empty\nerror: No\n  https://u:p@i/x\n'),
  ).toBe('No\n  https://****@i/x');
  expect(reasonIn('')).toBe('');
});

describe('an index without the package', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-unresolvable-'));
  let server: Server;
  let url: string;
  /** Status of the worker's answer to an upload. */
  let status: number;

  beforeAll(async () => {
    server = createServer((request, response) => {
      request.resume();
      const isUpload = request.method === 'POST';
      response.writeHead(isUpload ? status : 404).end(isUpload && status !== 201 ? REFUSAL : '');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    writeFileSync(join(dir, 'f.py'), 'def f(event):\n    return 1\n');
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
    server.closeAllConnections();
    server.close();
  });

  const install = async (requirements: string): Promise<{ said: string; error: string }> => {
    writeFileSync(join(dir, 'requirements.txt'), requirements);
    let said = '';
    const tools = await hostTools('', `${url}/simple/`, process.env);
    const done = installFolder({ url, token: '' }, 'fn', { dir, tools }, (line) => (said += line));
    const error = await done.then(
      () => '',
      (thrown: unknown) => (thrown as Error).message,
    );
    return { said, error };
  };

  withUv('a requirement without a pin is refused before the upload, with the cause alone', async () => {
    const { said, error } = await install('nosuch\n');
    expect(error).toMatch(/^the requirements cannot be resolved: No solution found [^]*nosuch was not found/);
    expect(said + error).not.toMatch(/warning|ol-resolve|constraints\.in/);
  });

  withUv('a pin that the worker refuses has the worker’s cause, and no warning before it', async () => {
    status = 500;
    const { said, error } = await install('nosuch==1.0\n');
    expect(said).toBe('');
    expect(error).toBe(`could not install fn: the server answered 500: ${REFUSAL}`);
  });

  withUv('a pin that the worker takes has the warning after the upload', async () => {
    status = 201;
    const { said, error } = await install('nosuch==1.0\n');
    expect(error).toBe('');
    expect(said).toMatch(/^warning: requirements\.txt was not completed: the requirements cannot be resolved: No sol/m);
  });
});
