import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as protocol from '../../../src/helper/protocol';

const header = readFileSync(join(__dirname, '../../../sandbox-helper/protocol.h'), 'utf8');

/** The numbers of an enum or of defines with this prefix, by name without the prefix. */
function numbers(prefix: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const match of header.matchAll(new RegExp(`${prefix}(\\w+) ?=? ?(0x[0-9a-f]+|\\d+)u?`, 'g'))) {
    if (match[1] !== undefined) found[match[1]] = Number(match[2]);
  }
  return found;
}

function enumOf(name: string, prefix: string): Record<string, number> {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)?.[1]?.replace(/\/\*.*\*\//g, '') ?? '';
  const found: Record<string, number> = {};
  let next = 0; // as C counts without a number
  for (const match of body.matchAll(new RegExp(`\\b${prefix}(\\w+)(?: = (\\d+))?`, 'g'))) {
    next = match[2] === undefined ? next : Number(match[2]);
    if (match[1] !== undefined) found[match[1]] = next++;
  }
  return found;
}

describe('the mirror of protocol.h', () => {
  const defines = numbers('#define AG_');

  it.each([
    ['MAGIC', protocol.MAGIC],
    ['VERSION', protocol.VERSION],
    ['NAME_MAX', protocol.NAME_MAX],
    ['NAMES', protocol.NAMES],
    ['MAX_SLOTS', protocol.MAX_SLOTS],
    ['MAX_FDS', protocol.MAX_FDS],
  ])('has AG_%s', (name, value) => {
    expect(defines[name]).toBe(value);
  });

  it('has every verb', () => {
    expect({ ...protocol.Verb, VERB_END: 17 }).toEqual(enumOf('ag_verb', 'AG_'));
  });

  it.each([
    ['ag_role', 'AG_', protocol.Role],
    ['ag_pool', 'AG_POOL_', protocol.Pool],
    ['ag_network', 'AG_NET_', protocol.Network],
    ['ag_area', 'AG_AREA_', protocol.Area],
    ['ag_limit', 'AG_LIM_', protocol.Limit],
    ['ag_usage', 'AG_USE_', protocol.Usage],
    ['ag_pressure', 'AG_PRS_', protocol.Pressure],
    ['ag_kind', 'AG_', protocol.Kind],
    ['ag_stage', 'AG_ST_', protocol.Stage],
  ])('has enum %s', (name, prefix, table) => {
    expect(table).toEqual(enumOf(name, prefix));
  });

  it('has every code and flag', () => {
    const codes = { ...enumOf('ag_code', 'AG_E_'), OK: 0 };
    expect(protocol.Code).toEqual(codes);
    expect(protocol.Flag).toEqual(numbers('#define AG_F_'));
  });
});

describe('records', () => {
  it('have the layout of struct ag_request', () => {
    const bytes = Buffer.alloc(protocol.REQUEST_BYTES, 0xff);
    protocol.encodeRequest(bytes, protocol.Verb.FORK, 77, {
      slot: 5,
      source: 6,
      role: 1,
      flags: 3,
      arg: [2 ** 40, 9],
      name: ['3-echo', 'x'],
    });
    expect(bytes.readUInt32LE(0)).toBe(protocol.MAGIC);
    expect(bytes.readUInt16LE(4)).toBe(1);
    expect(bytes.readUInt16LE(6)).toBe(5);
    expect(bytes.readBigUInt64LE(8)).toBe(77n);
    expect([16, 20, 24, 28].map((at) => bytes.readUInt32LE(at))).toEqual([5, 6, 1, 3]);
    expect(bytes.readBigUInt64LE(32)).toBe(2n ** 40n);
    expect(bytes.readBigUInt64LE(40)).toBe(9n);
    expect(bytes.toString('utf8', 96, 103)).toBe('3-echo\0');
    expect(bytes.toString('utf8', 352, 354)).toBe('x\0');
    expect(bytes.subarray(354).every((byte) => byte === 0)).toBe(true);
  });

  it("refuse values that do not fit, with the field's name", () => {
    const bytes = Buffer.alloc(protocol.REQUEST_BYTES);
    const encode = (fields: protocol.RequestFields) => () => {
      protocol.encodeRequest(bytes, 1, 1, fields);
    };
    expect(encode({ name: ['ok', 'x'.repeat(256)] })).toThrow(/name\[1\]/);
    expect(encode({ name: ['a\0b'] })).toThrow(/name\[0\]/);
    expect(encode({ arg: [1, -1] })).toThrow(/arg\[1\]: -1/);
    expect(encode({ arg: Array<number>(9).fill(1) })).toThrow(/9 values/);
    expect(encode({ name: Array<string>(5).fill('n') })).toThrow(/5 names/);
  });

  it('are decoded at an offset', () => {
    const bytes = Buffer.alloc(2 * protocol.COMPLETION_BYTES);
    const at = protocol.COMPLETION_BYTES;
    bytes.writeUInt32LE(protocol.MAGIC, at);
    bytes.writeUInt16LE(1, at + 4);
    bytes.writeUInt16LE(2, at + 6);
    bytes.writeBigUInt64LE(12n, at + 8);
    bytes.writeUInt32LE(4096, at + 16);
    bytes.writeInt32LE(7, at + 20);
    bytes.writeInt32LE(13, at + 24);
    bytes.writeUInt32LE(18, at + 28);
    bytes.writeBigUInt64LE(2n ** 64n - 1n, at + 32);
    bytes.writeBigUInt64LE(50n, at + 40);
    bytes.write('mkdirat', at + 96);
    expect(protocol.decodeCompletion(bytes, at)).toEqual({
      kind: 2,
      seq: 12,
      slot: 4096,
      code: 7,
      errno: 13,
      stage: 18,
      value: [Infinity, 50, 0, 0, 0, 0, 0, 0],
      detail: 'mkdirat',
    });
    expect(protocol.decodeCompletion(bytes, 0)).toBeUndefined();
  });
});
