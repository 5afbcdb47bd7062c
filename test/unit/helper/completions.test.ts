import { Completions, type Waiting } from '../../../src/helper/completions';
import { Code, COMPLETION_BYTES, Kind, MAGIC, VERSION } from '../../../src/helper/protocol';

interface Fields {
  kind?: number;
  seq?: number;
  slot?: number;
  code?: number;
  magic?: number;
}

function record({ kind = Kind.REPLY, seq = 0, slot = 0, code = Code.OK, magic = MAGIC }: Fields): Buffer {
  const bytes = Buffer.alloc(COMPLETION_BYTES);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt16LE(VERSION, 4);
  bytes.writeUInt16LE(kind, 6);
  bytes.writeBigUInt64LE(BigInt(seq), 8);
  bytes.writeUInt32LE(slot, 16);
  bytes.writeInt32LE(code, 20);
  return bytes;
}

describe('Completions', () => {
  let completions: Completions;
  let events: string[];
  const waiting = (name: string): Waiting => ({
    verb: 'PAUSE',
    resolve: ({ slot }) => events.push(`${name} ${slot}`),
    reject: (error) => events.push(`${name}: ${error.message}`),
  });

  beforeEach(() => {
    events = [];
    completions = new Completions(() => events.push('fault'));
  });

  test('settle each request once, in any order and fragmentation', () => {
    completions.expect(1, waiting('one'));
    completions.expect(2, waiting('two'));
    const second = record({ seq: 2, slot: 8 });
    const bytes = Buffer.concat([second, record({ seq: 1, slot: 7 }), second]);
    for (let at = 0; at < bytes.length; at += 50) completions.receive(bytes.subarray(at, at + 50));
    expect(events).toEqual(['two 8', 'one 7']);
  });

  test('reject a refused request, with the verb', () => {
    completions.expect(1, waiting('one'));
    completions.receive(record({ seq: 1, code: Code.STATE }));
    expect(events).toEqual([expect.stringMatching(/^one: .*PAUSE/)]);
  });

  test("report an exit once to its slot, and the helper's end to all others", () => {
    const listen = (slot: number): void => {
      completions.onExit(slot, (exit) => events.push(exit === undefined ? `${slot} lost` : `${slot} exited`));
    };
    [1, 2, 3].forEach(listen);
    completions.offExit(2);
    const exit = record({ kind: Kind.EVENT_EXIT, slot: 1 });
    completions.receive(Buffer.concat([exit, exit]));
    completions.endSlots();
    completions.endSlots();
    expect(events).toEqual(['1 exited', '3 lost']);
  });

  test('stop at a record of another protocol', () => {
    completions.expect(1, waiting('one'));
    completions.receive(Buffer.concat([record({ magic: 7 }), record({ seq: 1 })]));
    expect(events).toEqual(['fault']);
  });

  test('can be rejected one by one, or all together', () => {
    for (const [seq, name] of ['one', 'two', 'three'].entries()) completions.expect(seq, waiting(name));
    completions.reject(1, new Error('not sent'));
    completions.rejectAll(new Error('gone'));
    completions.rejectAll(new Error('again'));
    expect(events).toEqual(['two: not sent', 'one: gone', 'three: gone']);
  });
});
