import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Parser } from 'tar';
import { deploy, LAMBDAS_DIR, packLambda, upload } from '../../support/deploy';

async function entries(archive: Buffer): Promise<string[]> {
  const found: string[] = [];
  const parser = new Parser({
    onReadEntry: (entry) => {
      found.push(entry.path);
      entry.resume();
    },
  });
  await new Promise<void>((resolve, reject) => {
    parser.on('end', resolve).on('error', reject);
    Readable.from([archive])
      .on('data', (chunk: Buffer) => parser.write(chunk))
      .on('end', () => parser.end());
  });
  return found.sort();
}

describe('packing functions for tests', () => {
  test("a directory's files are at the root of the archive", async () => {
    expect(await entries(await packLambda(`${LAMBDAS_DIR}/inspect`))).toEqual(['f.py', 'requirements.txt']);
  });

  test('files given as text are packed in the same way', async () => {
    expect(await entries(await packLambda({ 'f.py': 'x = 1', 'lib/a.py': '' }))).toEqual(['f.py', 'lib/', 'lib/a.py']);
  });
});

describe('uploading', () => {
  const seen: { url: string; body: Buffer }[] = [];
  let server: Server;
  let worker: string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      void buffer(request).then((body) => {
        seen.push({ url: `${request.method} ${request.url}`, body });
        response.writeHead(request.url === '/registry/no' ? 400 : 201).end('told');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    worker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  test('the archive is the body, the name is the directory', async () => {
    expect(await deploy(worker, 'bad/exits')).toBe('exits');
    expect(seen.at(-1)?.url).toBe('POST /registry/exits');
    expect(await entries(seen.at(-1)?.body ?? Buffer.alloc(0))).toEqual(['f.py']);
  });

  test('a refusal is an error of deploy() and a result of upload()', async () => {
    await expect(deploy(worker, { 'f.py': '' }, 'no')).rejects.toThrow('upload of no: 400 told');
    expect(await upload(worker, 'no', 'garbage')).toMatchObject({ status: 400, body: 'told' });
  });
});
