import { PassThrough } from 'node:stream';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { AnswerMeter } from '../../../../src/sandbox/answer/meter';

const KIB = 1024;

describe('AnswerMeter', () => {
  let meter: AnswerMeter;
  let socket: PassThrough;
  let failure: Error | undefined;

  beforeEach(() => open());

  /** Makes a socket that has read `bytes` ahead. */
  function open(bytes = 0): void {
    meter = new AnswerMeter();
    socket = new PassThrough({ highWaterMark: 1024 * KIB });
    failure = undefined;
    socket.on('error', (error) => (failure = error));
    meter.watch(socket as unknown as Socket);
    meter.reset();
    if (bytes > 0) socket.write(Buffer.alloc(bytes, 'a'));
  }
  const size = (): number | undefined => (socket.read() as Buffer | null)?.length;
  /** Reads until nothing is left, as the parser does. Returns the sizes of the pieces. */
  function pieces(): number[] {
    const sizes: number[] = [];
    for (let piece = size(); piece !== undefined; piece = size()) sizes.push(piece);
    return sizes;
  }

  test('gives the parser a head in chunks of 4 KiB, and the rest unchanged', () => {
    open(64 * KIB);
    expect([size(), size()]).toEqual([4 * KIB, 4 * KIB]);
    meter.headEnded();
    expect(pieces()).toEqual([56 * KIB]);
    meter.reset();
    socket.write(Buffer.alloc(5 * KIB));
    expect(pieces()).toEqual([4 * KIB, KIB]);
  });

  test('returns no more bytes of a socket that the parser has destroyed', () => {
    open(64 * KIB);
    expect(size()).toBe(4 * KIB);
    socket.destroy(new Error('the parser has failed'));
    expect(size()).toBeUndefined();
  });

  /** Whether the socket has ended with a fault of the guest. */
  const isFault = async (): Promise<boolean> => {
    await new Promise(setImmediate);
    return (failure as { code?: string } | undefined)?.code === 'GUEST_PROTOCOL';
  };

  test('ends an answer whose head exceeds 80 KiB', async () => {
    open(200 * KIB);
    expect(pieces().reduce((sum, piece) => sum + piece, 0)).toBe(80 * KIB);
    expect(await isFault()).toBe(true);
  });

  test('ends an answer after 128 KiB without a byte of its body, for example in trailers', async () => {
    open(60 * KIB);
    meter.headEnded();
    expect(pieces()).toEqual([60 * KIB]);
    meter.progress(60 * KIB);
    socket.write(Buffer.alloc(128 * KIB));
    expect(pieces()).toEqual([128 * KIB]);
    socket.write('a');
    expect(pieces()).toEqual([]);
    expect(await isFault()).toBe(true);
  });

  test('ends an answer above 256 KiB and 16 bytes per byte of its body', async () => {
    open();
    meter.headEnded();
    for (let read = 0; read < 256 + 16; read += 2) {
      socket.write(Buffer.alloc(2 * KIB));
      expect(pieces()).toEqual([2 * KIB]);
      meter.progress(read === 0 ? KIB : 0);
    }
    socket.write('a');
    expect(pieces()).toEqual([]);
    expect(await isFault()).toBe(true);
  });

  test('counts bytes once that the parser returns', () => {
    open(100 * KIB);
    meter.headEnded();
    for (let time = 0; time < 9; time++) {
      const chunk = socket.read() as Buffer;
      expect(chunk).toHaveLength(100 * KIB);
      socket.unshift(chunk);
    }
  });

  test('does not change any byte, in any fragmentation', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 9 * KIB }), { maxLength: 8 }),
        fc.nat(40),
        (writes, headPieces) => {
          open();
          const read: Buffer[] = [];
          for (const bytes of writes) {
            socket.write(bytes);
            for (let piece = socket.read() as Buffer | null; piece !== null; piece = socket.read() as Buffer | null) {
              if (read.length === headPieces) meter.headEnded();
              if (read.push(piece) <= headPieces) expect(piece.length).toBeLessThanOrEqual(4 * KIB);
            }
          }
          expect(Buffer.concat(read).equals(Buffer.concat(writes))).toBe(true);
        },
      ),
    );
  });
});
