/** Small uploads that would cost a naive parser much time or memory, one of each kind. */
import { Header, type HeaderData } from 'tar';
import { gzipSync } from 'node:zlib';

const MB = 1 << 20;

/** One archive entry as bytes. The entry may be one that no tool would write. */
export function entry(data: HeaderData, content: Buffer | string = ''): Buffer {
  const body = Buffer.from(content);
  const block = Buffer.alloc(512);
  const fixed = { mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), size: body.length, type: 'File' as const };
  new Header({ ...fixed, ...data }).encode(block);
  return Buffer.concat([block, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

const END = Buffer.alloc(1024);
const CODE = entry({ path: 'f.py' }, 'def f(event):\n    return event\n');

/** A valid archive. */
export const HONEST = gzipSync(Buffer.concat([CODE, END]));

const pack = (...parts: Buffer[]): Buffer => gzipSync(Buffer.concat([...parts, CODE, END]), { level: 9 });
const many = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const file = (path: string, text: string): Buffer => pack(entry({ path }, text));
const yaml = (text: string): Buffer => file('ol.yaml', text);
/** `count` zero bytes, highly compressed. gzip allows several members in one file. */
const zeros = (count: number): Buffer => {
  const member = gzipSync(Buffer.alloc(8 * MB));
  return Buffer.concat(Array.from({ length: Math.ceil(count / (8 * MB)) }, () => member));
};

function pax(fields: Record<string, string>): Buffer {
  const lines = Object.entries(fields).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length++;
    return `${String(length)}${rest}`;
  });
  return entry({ path: 'p', type: 'ExtendedHeader' }, lines.join(''));
}

const ladder = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(',')}]\n`);

/**
 * Each bomb with the worker's expected message; undefined for bombs that the worker accepts. Bombs are made on demand.
 */
export const BOMBS: [name: string, make: () => Buffer, says: RegExp | undefined][] = [
  ['zeros behind the end', () => Buffer.concat([HONEST, zeros(512 * MB)]), /behind its end/],
  ['a large file', () => Buffer.concat([gzipSync(entry({ path: 'big', size: 1100 * MB })), zeros(1100 * MB)]), /bytes/],
  ['many entries', () => pack(many(30_000, (i) => entry({ path: `d${i}`, size: 0 }))), /entries/],
  ['one directory many times', () => pack(many(60_000, () => entry({ path: 'd', type: 'Directory' }))), /entries/],
  ['as many entries as are allowed', () => pack(many(19_900, (i) => entry({ path: `d${i}`, size: 0 }))), undefined],
  ['a large pax header', () => pack(pax({ comment: 'a'.repeat(4 * MB) })), /extended header/],
  ['many pax headers', () => pack(many(300, () => pax({ comment: 'a'.repeat(900_000) }))), /extended header/],
  ['many small pax headers', () => pack(many(900, () => pax({ comment: 'a'.repeat(60_000) }))), /bytes of headers/],
  ['a long name by pax', () => pack(pax({ path: 'a/'.repeat(20_000) }), entry({ path: 'x' })), /name of 40000 bytes/],
  [
    'a long name by GNU',
    () => pack(entry({ path: '././@LongLink', type: 'NextFileHasLongPath' }, 'a'.repeat(9 * MB)), entry({ path: 'x' })),
    /extended header/,
  ],
  ['a deep path', () => pack(pax({ path: 'a/'.repeat(400) }), entry({ path: 'x' })), /deeper than/],
  ['compressed twice', () => gzipSync(Buffer.concat([HONEST, zeros(64 * MB)])), /compressed twice/],
  ['cut off', () => zeros(16 * MB).subarray(0, 9000), /cannot unpack/],
  ['aliases of aliases', () => yaml(`l0: &l0 x\n${ladder.join('')}triggers: {http: *l9}\n`), /triggers\.http|list/],
  [
    'many aliases',
    () => yaml(`environment:\n  z: &x 1\n${many(60_000, (i) => Buffer.from(`  k${i}: *x\n`)).toString()}`),
    /bytes/,
  ],
  [
    'aliases in a small file',
    () => yaml(`environment:\n  z: &x 1\n${many(15_000, (i) => Buffer.from(`  k${i}: *x\n`)).toString()}`),
    /aliases/,
  ],
  ['deep flow sequences', () => yaml(`a: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`), /nested deeper/],
  ['deep flow mappings', () => yaml(`${'{a: '.repeat(40_000)}${'}'.repeat(40_000)}`), /nested deeper/],
  ['deep block sequences', () => yaml(`${'- '.repeat(100_000)}x\n`), /nested deeper/],
  ['deep explicit keys', () => yaml(`${'? '.repeat(100_000)}x\n`), /nested deeper/],
  ['many keys', () => yaml(many(20_000, (i) => Buffer.from(`k${i}: v\n`)).toString()), /keys and values/],
  ['as many keys as are allowed', () => yaml(many(4900, (i) => Buffer.from(`k${i}: v\n`)).toString()), undefined],
  ['many documents', () => yaml('---\n'.repeat(60_000)), /documents/],
  ['a large ol.yaml', () => yaml(`# ${'x'.repeat(MB)}\n`), /bytes/],
  ['many anchors', () => yaml(many(20_000, (i) => Buffer.from(`- &a${i} x\n`)).toString()), /keys and values/],
  [
    'many variables',
    () => yaml(`environment:\n${many(4000, (i) => Buffer.from(`  k${i}: v\n`)).toString()}`),
    /variables/,
  ],
  ['many triggers', () => yaml(`triggers:\n  http:\n${'  - method: GET\n'.repeat(4000)}`), /entries/],
  ['an open quote', () => yaml(`a: "${'\\x41'.repeat(60_000)}`), /ol\.yaml/],
  ['a large .env', () => file('.env', 'A=1\n'.repeat(MB / 4)), /\.env in the function archive has/],
  ['a long variable in .env', () => file('.env', `A=${'x'.repeat(150_000)}\n`), /environment\.A has more than/],
  // Only the first pair of quotes counts, so the worker accepts this file.
  ['a .env of quotes', () => file('.env', `${'A="'.repeat(60_000)}\n`), undefined],
  [
    'many requirements',
    () => file('requirements.txt', many(9000, (i) => Buffer.from(`p${i}==1\n`)).toString()),
    /more than 1000/,
  ],
  ['requirements of comments', () => file('requirements.txt', '#\n'.repeat(500_000)), undefined],
  ['a long requirement', () => file('requirements.txt', 'a.'.repeat(400_000)), /longer than/],
];
