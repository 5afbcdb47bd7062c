/** Values of a YAML document. Size and shape of the document are checked before it is parsed. */
import { CST, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseAllDocuments, Parser } from 'yaml';
import type { Document } from 'yaml';
import { ArgyleError } from '../../../errors';

/** Deepest nesting, in levels. An ol.yaml needs seven levels. */
const MAX_DEPTH = 32;
/** Maximum number of aliases. The parser searches the whole document for each alias. */
const MAX_ALIASES = 100;
/** Maximum number of keys and values. The parser compares the keys of a mapping with each other. */
const MAX_SCALARS = 10_000;
/** Maximum number of documents. Only the first one is used. */
const MAX_DOCUMENTS = 8;

/** Throws an error. @throws ArgyleError LAMBDA_CONFIG, always */
export function fail(message: string, field?: string, value?: string): never {
  const at = { ...(field === undefined ? {} : { field }), ...(value === undefined ? {} : { value }) };
  throw new ArgyleError('LAMBDA_CONFIG', `failed to parse ol.yaml: ${message}`, at);
}

/**
 * Refuses text that would take long to parse. The check reads only the tokens.
 * @throws ArgyleError LAMBDA_CONFIG
 */
function checkShape(text: string): void {
  const parser = new Parser();
  const found = { alias: 0, scalar: 0, 'doc-start': 0 };
  for (const lexeme of new Lexer().lex(text)) {
    const type = CST.tokenType(lexeme);
    if (type === 'alias' || type === 'scalar' || type === 'doc-start') found[type]++;
    else if (type === 'single-quoted-scalar' || type === 'double-quoted-scalar') found.scalar++;
    // The result of the parser is not used. Only the depth is needed here.
    Array.from(parser.next(lexeme));
    if (parser.stack.length > MAX_DEPTH) fail(`it is nested deeper than ${MAX_DEPTH} levels`);
    if (found.alias > MAX_ALIASES) fail(`it has more than ${MAX_ALIASES} aliases`);
    if (found.scalar > MAX_SCALARS) fail(`it has more than ${MAX_SCALARS} keys and values`);
    if (found['doc-start'] > MAX_DOCUMENTS) fail(`it has more than ${MAX_DOCUMENTS} documents`);
  }
}

/**
 * The first document of a YAML text.
 * @throws ArgyleError LAMBDA_CONFIG when it is malformed, too large or too complex; for one without content the message
 *   ends with `EOF`
 */
export function parseYaml(text: string, maxBytes: number): Value {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) fail(`it has ${bytes} bytes, limit ${maxBytes}`);
  checkShape(text);
  const lines = new LineCounter();
  const options = { uniqueKeys: true, logLevel: 'silent', prettyErrors: false, lineCounter: lines } as const;
  const docs = parseAllDocuments(text, options);
  const [doc] = docs;
  if (doc === undefined) fail('EOF');
  const [error] = doc.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    fail(`${error.message} (line ${line}, column ${col})`);
  }
  return Value.of(doc, doc.contents, '');
}

/** One value of the document, with its path for errors. Aliases are resolved. */
export class Value {
  constructor(
    private readonly doc: Document,
    private readonly node: unknown,
    readonly path: string,
  ) {}

  static of(doc: Document, node: unknown, path: string): Value {
    return new Value(doc, isAlias(node) ? node.resolve(doc) : node, path);
  }

  get isNull(): boolean {
    return this.node === null || this.node === undefined || (isScalar(this.node) && this.node.value === null);
  }

  /** The text of the scalar as it is written; '' for null. */
  text(): string {
    if (this.isNull) return '';
    if (!isScalar(this.node)) fail(`${this.path} must be a single value`, this.path);
    return typeof this.node.value === 'string' ? this.node.value : (this.node.source ?? String(this.node.value));
  }

  /** Members by key; undefined for null. */
  map(): Map<string, Value> | undefined {
    if (this.isNull) return undefined;
    if (!isMap(this.node)) fail(`${this.path || 'the document'} must be a mapping`, this.path);
    const members = new Map<string, Value>();
    for (const { key, value } of this.node.items) {
      const name = Value.of(this.doc, key, this.path).text();
      members.set(name, Value.of(this.doc, value, this.path === '' ? name : `${this.path}.${name}`));
    }
    return members;
  }

  /** Elements; an empty list for null. */
  list(): Value[] {
    if (this.isNull) return [];
    if (!isSeq(this.node)) fail(`${this.path} must be a list`, this.path);
    return this.node.items.map((item, index) => Value.of(this.doc, item, `${this.path}[${index}]`));
  }

  boolean(): boolean {
    const text = this.text();
    if (/^(true|yes|on|y)$/i.test(text)) return true;
    if (/^(false|no|off|n)$/i.test(text)) return false;
    return fail(`${this.path} must be true or false, not "${text}"`, this.path, text);
  }

  integer(min: number, max: number): number {
    const text = this.text();
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      fail(`${this.path} must be a whole number from ${min} to ${max}, not "${text}"`, this.path, text);
    }
    return value;
  }
}
