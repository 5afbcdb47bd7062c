import { PassThrough } from 'node:stream';
import { LogTap, type LogSink } from '../../../src/sandbox/log-tap';

const KB = 1024;
let dropped = 0;

describe('LogTap', () => {
  function tap(): { pipe: PassThrough; lines: string[]; tap: LogTap } {
    const pipe = new PassThrough();
    const lines: string[] = [];
    const sink: LogSink = {
      line: ({ source, requestId }, line) => lines.push(`${source}${requestId && `(${requestId})`}: ${line}`),
      dropped: (bytes) => (dropped += bytes),
    };
    return { pipe, lines, tap: new LogTap(pipe, 'f', sink) };
  }
  const settled = (): Promise<void> => new Promise(setImmediate);

  it('passes whole lines to the sink, in any fragmentation', async () => {
    const { pipe, lines } = tap();
    pipe.write('one\ntw');
    await settled();
    pipe.write('o\n');
    await settled();
    pipe.end('without an end');
    await settled();
    await settled();
    expect(lines).toEqual(['f: one', 'f: two', 'f: without an end']);
  });

  it('cuts long lines without waiting for their end', async () => {
    const { pipe, lines } = tap();
    pipe.write('x'.repeat(10 * KB));
    await settled();
    expect(lines.map((line) => line.length - 'f: '.length)).toEqual([4 * KB, 4 * KB]);
  });

  it('drops output above the rate, reports the number of bytes, and continues', async () => {
    jest.useFakeTimers({ now: 0, doNotFake: ['setImmediate', 'nextTick'] });
    try {
      const { pipe, lines } = tap();
      const line = `${'y'.repeat(KB - 1)}\n`;
      for (let written = 0; written < 4 * KB; written += 16) {
        pipe.write(line.repeat(16));
        await settled();
      }
      const kept = lines.reduce((total, one) => total + one.length, 0);
      expect(kept).toBeGreaterThan(200 * KB);
      expect(kept).toBeLessThanOrEqual(260 * KB); // the rate of four seconds
      jest.setSystemTime(1000);
      pipe.write('after\n');
      await settled();
      expect(lines.at(-1)).toBe('f: after');
      expect(lines.at(-2)).toMatch(/^f: \[\d{7} bytes of log dropped\]$/);
      expect(dropped).toBe(Number(/\d+/.exec(lines.at(-2) ?? '')?.[0]));
    } finally {
      jest.useRealTimers();
    }
  });

  describe('attributes a line to a call', () => {
    it("from the call's beginning to its end, and to none between calls", async () => {
      const { pipe, lines, tap: it } = tap();
      const write = async (text: string): Promise<void> => {
        pipe.write(`${text}\n`);
        await settled();
      };
      await write('before');
      it.running('r1');
      await write('in r1');
      it.running('');
      await new Promise((resolve) => setTimeout(resolve, 20));
      await write('between');
      it.running('r2');
      await write('in r2');
      expect(lines).toEqual(['f: before', 'f(r1): in r1', 'f: between', 'f(r2): in r2']);
    });

    it('also when the answer is read before earlier output and the next call has begun', async () => {
      const { pipe, lines, tap: it } = tap();
      it.running('r1');
      await settled();
      // These steps run in one turn of the loop, as when both are readable.
      it.running('');
      it.running('r2');
      pipe.emit('data', Buffer.from('of r1\n'));
      await settled();
      pipe.write('of r2\n');
      await settled();
      expect(lines).toEqual(['f(r1): of r1', 'f(r2): of r2']);
    });

    it('also an unfinished line of the call, and each byte of a character that is split between two calls', async () => {
      const { pipe, lines, tap: it } = tap();
      it.running('r1');
      pipe.write('of r1, no end');
      await settled();
      it.running('');
      await settled();
      expect(lines).toEqual(['f(r1): of r1, no end']);
      it.running('r2');
      await settled();
      pipe.write(Buffer.from([0x61, 0xc3]));
      await settled();
      it.running('');
      it.running('r3');
      await settled();
      pipe.write(Buffer.from([0xa9, 0x0a]));
      await settled();
      expect(lines.slice(1)).toEqual(['f(r2): a\ufffd', 'f(r3): \ufffd']);
    });

    it('also an unfinished line after the answer, or between calls', async () => {
      const { pipe, lines, tap: it } = tap();
      it.running('r1');
      it.running('');
      await settled();
      pipe.write('behind');
      await settled();
      it.running('r2');
      await settled();
      it.running('');
      await new Promise((resolve) => setTimeout(resolve, 20));
      pipe.write('between');
      await settled();
      it.running('r3');
      await settled();
      pipe.write(' of r3\n');
      await settled();
      expect(lines).toEqual(['f(r1): behind', 'f: between', 'f(r3):  of r3']);
    });

    it('also output directly after the answer', async () => {
      const { pipe, lines, tap: it } = tap();
      it.running('r1');
      it.running('');
      pipe.write('behind the answer\n');
      await settled();
      expect(lines).toEqual(['f(r1): behind the answer']);
    });
  });
});
