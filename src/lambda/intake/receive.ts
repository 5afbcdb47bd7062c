/** Writes what arrives into a file of its own. */
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Writes `data` to a new file, which must not exist. What was written is left behind when it throws.
 * @param maxBytes 0 for no limit
 * @param tooLarge thrown beyond that
 */
export async function receive(data: Readable, file: string, maxBytes: number, tooLarge: Error): Promise<void> {
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      bytes += chunk.length;
      if (maxBytes === 0 || bytes <= maxBytes) callback(null, chunk);
      else callback(tooLarge);
    },
  });
  // The reader of `data` may have an answer to send on its connection.
  const source = data.iterator({ destroyOnReturn: false });
  await pipeline(source, counter, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
}
