/**
 * Test support: a broker with Kafka's protocol. It is librdkafka's mock cluster in a process of Debian's kcat. It
 * stores nothing on disk and creates topics on demand.
 */
import { spawn, spawnSync } from 'node:child_process';

export interface Broker {
  address: string;
  close(): Promise<void>;
}

/** Why a broker cannot run on this machine; undefined when it can. */
export function whyNoBroker(): string | undefined {
  return spawnSync('kcat', ['-V']).status === 0 ? undefined : 'kcat is not installed';
}

/** @throws Error without an address within 10 s */
export async function startBroker(): Promise<Broker> {
  const args = ['-P', '-b', 'replaced', '-t', 'argyle-boot', '-X', 'test.mock.num.brokers=1'];
  const kcat = spawn('kcat', args, { stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) => {
    kcat.on('close', () => {
      resolve();
    });
  });
  let text = '';
  const address = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`kcat announced no broker: ${text}`));
    }, 10_000);
    kcat.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /replaced with (127\.0\.0\.1:\d+)/.exec(text)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  return {
    address,
    close: async () => {
      kcat.kill('SIGKILL');
      await ended;
    },
  };
}
