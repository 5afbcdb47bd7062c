/** Test support: moto, a server with S3's protocol, with one empty bucket. `make deps` installs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from './ports';
import { until } from './until';

const ROOT = resolve(__dirname, '../..');
const REGION = 'us-east-1';
/** Time limit of the start, ms. Python needs seconds to load moto on a busy machine. */
const START_MS = 30_000;

export interface S3Server {
  url: string;
  close(): Promise<void>;
}

/** Starts a server, and sets the AWS SDK's variables of this process to it until the server is closed. */
export async function startS3Server(bucket: string): Promise<S3Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn('/usr/bin/python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    env: { ...process.env, PYTHONPATH: join(ROOT, 'build/moto') },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, 'exit');
  await until(
    'the S3 server answers',
    async () => {
      if (child.exitCode !== null) throw new Error(`moto ended (is build/moto there? \`make deps\`): ${said}`);
      return fetch(url).then(
        () => true,
        () => false,
      );
    },
    START_MS,
  );
  const saved = { ...process.env };
  process.env['AWS_ENDPOINT_URL_S3'] = url;
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  const client = new S3Client({ region: REGION, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    url,
    close: async () => {
      process.env = saved;
      child.kill();
      await ended;
    },
  };
}
