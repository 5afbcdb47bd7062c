/** Generates answers of a guest: honest ones, answers with a fault in any part, and mutated recordings. */
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';

export interface HostileAnswer {
  bytes: Buffer;
  /** Positions where the guest pauses between two writes. */
  cuts: number[];
  /** Whether the guest closes the connection after the answer. */
  then: 'keep' | 'close';
  method: 'POST' | 'HEAD';
  /** Set for a correct answer: the status and body that the client must get. */
  honest?: { status: number; body: string };
  /** Correct, except for bytes after its end. */
  trailing: boolean;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const BODY = 'hello from the guest';

/** Generates `usual` in 95 % of the cases, otherwise one of `others`. `plain` is true for `usual`. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<{ value: T; plain: boolean }> {
  return fc.oneof(
    { weight: 19, arbitrary: fc.constant({ value: usual, plain: true }) },
    { weight: 1, arbitrary: fc.constantFrom(...others).map((value) => ({ value, plain: false })) },
  );
}

const statusOf = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('200', '201', '404', '418', '500', '599', '999') },
  { weight: 1, arbitrary: fc.constantFrom('204', '205', '206', '301', '304') },
  { weight: 1, arbitrary: fc.constantFrom('000', '099', '100', '101', '102', '199', '1000', '2x', '', '-20') },
);
const reasonOf = mostly(
  'OK',
  '',
  'Page non trouv\xe9e',
  'O\x01K',
  'a\tb',
  '\xe2\x98\x83',
  'a'.repeat(300),
  'O\rK',
  '\0',
);
const versionOf = mostly('HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'http/1.1', 'ICY', '', 'HTTP/1.1 ');
const lineOf = mostly('\r\n', '\n', '\r', '\n\r');
const interimOf = mostly<readonly string[]>(
  [],
  ['103'],
  ['102', '103'],
  ['100'],
  ['101'],
  Array.from({ length: 5 }, () => '103'),
  Array.from({ length: 40 }, () => '103'),
);
const tailOf = mostly(
  '',
  'junk',
  'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL',
  '\r\n',
  '\0',
  'x'.repeat(300_000),
);

const badField = fc.constantFrom(
  'X A: 1',
  'X\xe9: 1',
  ': 1',
  'X-A',
  'X-A: \x01',
  'X-A: a\x7f',
  'X-A: a\0b',
  ' X-A: folded',
  'X-A: a\r\n b',
  'Upgrade: x\r\nConnection: upgrade',
  'Transfer-Encoding: identity',
  'Content-Length: 1',
  `X-Long: ${'a'.repeat(70_000)}`,
  Array.from({ length: 1100 }, (_, i) => `x${i}: 1`).join('\r\n'),
);
const goodField = fc.oneof(
  fc.constantFrom(
    'X-A: \xff\x80',
    'X-A:\tb\t',
    'x-argyle-boot: {"import_ms":1e308,"modules":["x"],"submodules":{"__proto__":["a"]}}',
    'X-Argyle-Boot: {"import_ms":-1}',
    'x-argyle-boot: [',
    'Date: x',
    'Set-Cookie: a=1\r\nSet-Cookie: b=2',
    'Connection: x-a, x-b',
    'Keep-Alive: timeout=0',
    'Trailer: X-T',
    '__proto__: x',
    'Content-Type: text/plain',
    'X-Argyle-Other: 1',
    'Location: http://\xe9/',
  ),
  fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).map((text) => `X-Text: ${text}`),
);
const fieldsOf = fc
  .tuple(
    fc.array(goodField, { maxLength: 3 }),
    fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: badField }),
  )
  .map(([good, bad]) => ({ value: bad === null ? good : [...good, bad], plain: bad === null }));

interface Framed {
  fields: string[];
  body: Buffer;
  /** Whether the client must get the body unchanged. */
  whole: boolean;
  /** Whether closing the connection marks the end of the body. */
  open: boolean;
}

const chunk = (body: Buffer, extension = ''): Buffer =>
  Buffer.concat([latin1(`${body.length.toString(16)}${extension}\r\n`), body, latin1('\r\n')]);
const END = latin1('0\r\n\r\n');
const framed = (field: string, parts: Buffer[], whole = false, open = true): Framed => ({
  fields: field === '' ? [] : [field],
  body: Buffer.concat(parts),
  whole,
  open: open && !whole,
});
const CHUNKED = 'Transfer-Encoding: chunked';

function framings(body: Buffer): { good: Framed[]; bad: Framed[] } {
  const length = `Content-Length: ${body.length}`;
  const halves = [chunk(body.subarray(0, 3)), chunk(body.subarray(3))];
  return {
    good: [
      framed(length, [body], true),
      framed(CHUNKED, [...halves, END], true),
      framed(CHUNKED, [chunk(body, ';a=b'), END], true),
      framed(CHUNKED, [...halves, latin1('0\r\nX-T: 1\r\n\r\n')], true),
    ],
    bad: [
      framed('', [body]),
      framed('Content-Length: 5', [body]),
      framed('Content-Length: 500', [body]),
      framed(`${length}\r\n${length}`, [body]),
      framed('Content-Length: -1', [body]),
      framed('Content-Length: 9007199254740993', [body]),
      framed('Content-Length: 0x5', [body]),
      framed(`${length}, 20`, [body]),
      framed(`${length}\r\n${CHUNKED}`, [...halves, END]),
      framed('Transfer-Encoding: gzip, chunked', [...halves, END]),
      framed('Transfer-Encoding: chunked, chunked', [...halves, END]),
      framed(CHUNKED, halves),
      framed(CHUNKED, [latin1('zz\r\n'), body]),
      framed(CHUNKED, [latin1('-5\r\n'), body]),
      framed(CHUNKED, [latin1('ffffffffffffffffff\r\n'), body]),
      framed(CHUNKED, [latin1(`5;${'e'.repeat(300_000)}\r\nhello\r\n`), END]),
      framed(CHUNKED, [...halves, latin1(`0\r\n${'X-T: 1\r\n'.repeat(20_000)}\r\n`)]),
      framed(CHUNKED, [...halves, latin1('0\r\nContent-Length: 9\r\n\r\n')]),
      framed(CHUNKED, [latin1('1\r\na\r\n'.repeat(5000)), END]),
    ],
  };
}

const zipped = gzipSync(BODY);
const encodingOf = mostly<[string, Buffer]>(
  ['', latin1(BODY)],
  ['Content-Encoding: gzip', zipped],
  ['Content-Encoding: gzip', zipped.subarray(0, 15)],
  ['Content-Encoding: gzip', latin1(BODY)],
  ['Content-Encoding: gzip', gzipSync(Buffer.alloc(4 << 20))],
  ['Content-Encoding: br', latin1(BODY)],
);

const cutsOf = (bytes: Buffer): fc.Arbitrary<number[]> =>
  fc
    .array(fc.integer({ min: 0, max: Math.min(bytes.length, 400) }), { maxLength: 2 })
    .map((cuts) => cuts.sort((a, b) => a - b));

/** Placeholder of an answer's number. The number shows the client whose answer it got. */
const PLACE = '@@@@@@@@';

/** The answer with the number of a case. */
export function numbered(number: number, answer: HostileAnswer): HostileAnswer {
  const bytes = latin1(answer.bytes.toString('latin1').replace(PLACE, String(number).padStart(PLACE.length, '0')));
  return { ...answer, bytes };
}

/** Answers from the grammar, with placeholders for their numbers. */
export function grammar(): fc.Arbitrary<HostileAnswer> {
  const parts = fc.tuple(statusOf, reasonOf, versionOf, lineOf, interimOf, fieldsOf, encodingOf, tailOf);
  return parts.chain(([status, reason, version, line, interim, fields, encoding, tail]) => {
    const { good, bad } = framings(encoding.value[1]);
    const framing = fc.oneof(
      { weight: 7, arbitrary: fc.constantFrom(...good) },
      { weight: 2, arbitrary: fc.constantFrom(...bad) },
    );
    const method = fc.oneof({ weight: 9, arbitrary: fc.constant('POST' as const) }, fc.constant('HEAD' as const));
    return fc.tuple(framing, method, fc.boolean()).chain(([frame, asked, polite]) => {
      const bodiless = asked === 'HEAD' || status === '204' || status === '304';
      const early = interim.value.map((code) => `HTTP/1.1 ${code} Early\r\nLink: x\r\n\r\n`).join('');
      const lines = [
        `${version.value} ${status} ${reason.value}`,
        `X-Case: ${PLACE}`,
        ...fields.value,
        ...(encoding.value[0] === '' ? [] : [encoding.value[0]]),
        ...frame.fields,
        ...(polite ? [] : ['Connection: close']),
      ];
      const head = latin1(early + lines.join(line.value) + line.value + line.value);
      const bytes = Buffer.concat([head, bodiless ? Buffer.alloc(0) : frame.body, latin1(tail.value)]);
      const right = [version, line, interim, fields, encoding].every(({ plain }) => plain) && frame.whole;
      const honest =
        right &&
        /^[2-9]\d\d$/.test(status) &&
        (reason.plain || !['\0', '\r', '\x01'].some((code) => reason.value.includes(code)));
      const then = honest && polite ? 'keep' : 'close';
      const wanted = { status: Number(status), body: bodiless ? '' : BODY };
      return cutsOf(bytes).map((cuts): HostileAnswer => ({
        ...{ bytes, cuts, then, method: asked, trailing: honest && !tail.plain && tail.value !== '\r\n' },
        ...(honest && tail.plain ? { honest: wanted } : {}),
      }));
    });
  });
}

/** A recorded answer with changes in up to four places. */
export function mutated(recordings: readonly Buffer[]): fc.Arbitrary<HostileAnswer> {
  const place = fc.double({ min: 0, max: 1, noNaN: true });
  const change = fc.tuple(
    fc.constantFrom('set', 'insert', 'cut', 'drop', 'double'),
    place,
    place,
    fc.integer({ min: 0, max: 255 }),
  );
  return fc
    .tuple(fc.constantFrom(...recordings), fc.array(change, { minLength: 1, maxLength: 4 }))
    .chain(([recording, changes]) => {
      let bytes = recording;
      for (const [kind, at, length, value] of changes) {
        const from = Math.floor(at * bytes.length);
        const to = Math.min(bytes.length, from + Math.ceil(length * 20));
        const [before, part, behind] = [bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to)];
        if (kind === 'set') bytes = Buffer.concat([before, Buffer.from([value]), bytes.subarray(from + 1)]);
        if (kind === 'insert') bytes = Buffer.concat([before, Buffer.from([value]), part, behind]);
        if (kind === 'drop') bytes = Buffer.concat([before, behind]);
        if (kind === 'double') bytes = Buffer.concat([before, part, part, behind]);
        if (kind === 'cut' && at > 0.5) bytes = before;
      }
      return cutsOf(bytes).map((cuts): HostileAnswer => ({
        bytes,
        cuts,
        then: 'close',
        method: 'POST',
        trailing: false,
      }));
    });
}
