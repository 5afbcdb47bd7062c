/** Writes received data to a new file. */
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Writes `data` to a file, which must not exist. After an error, the incomplete file is left behind.
 * @param maxBytes 0 for no limit
 * @param tooLarge error for data above the limit
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
  // The stream is not destroyed at the end: its connection may still have to carry an answer.
  const source = data.iterator({ destroyOnReturn: false });
  await pipeline(source, counter, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
}
