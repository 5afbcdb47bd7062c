import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { FrameDecoder } from '../../../../src/sandbox/docker/frames';

function frame(stream: number, content: string): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

const unframed = (chunks: Buffer[]): Promise<string> => text(Readable.from(chunks).pipe(new FrameDecoder()));

test('passes on both streams in order', async () => {
  expect(await unframed([frame(1, 'out\n'), frame(2, 'err\n'), frame(1, ''), frame(1, 'end')])).toBe('out\nerr\nend');
});

test.each([1, 2, 3, 7, 8, 9, 11])('accepts chunks of %i bytes at any place', async (size) => {
  const all = Buffer.concat([frame(1, 'größer\n'), frame(2, 'x'), frame(1, 'last\n')]);
  const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.subarray(i * size, (i + 1) * size));
  expect(await unframed(chunks)).toBe('größer\nxlast\n');
});

test('accepts a chunk with very many frames', async () => {
  const chunk = Buffer.concat(Array.from({ length: 100_000 }, () => frame(1, 'x')));
  expect(await unframed([chunk])).toHaveLength(100_000);
});
