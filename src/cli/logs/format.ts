/** Formats log lines of a function for people. Pure. */
import { z } from 'zod';
import { printable } from '../functions/printable';

const Line = z.object({
  time: z.string(),
  level: z.string(),
  lambda: z.string().optional(),
  sandbox: z.string().optional(),
  request_id: z.string().optional(),
  stream: z.string(),
  msg: z.string(),
});

/** SGR parameters for the parts of a line. */
const DIM = '2';
const CYAN = '36';
const COLORS: Readonly<Record<string, string>> = { info: '', warn: '33', error: '31' };

function painted(text: string, color: string, colored: boolean): string {
  return colored && color !== '' && text !== '' ? `\x1b[${color}m${text}\x1b[0m` : text;
}

/**
 * Formats one line of `GET /logs/<name>`, without a final newline. A message of several lines is indented. A line of
 * any other form stays unchanged, except that terminal control characters are escaped.
 */
export function formatLine(json: string, colored: boolean): string {
  const line = parse(json);
  if (line === undefined) return printable(json);
  const { time, level, sandbox, request_id: id, stream, msg } = line;
  const color = COLORS[level] ?? '';
  const who = [stream === 'worker' ? 'worker' : '', sandbox === undefined ? '' : `#${sandbox}`, id ?? '']
    .filter((part) => part !== '')
    .map((part) => painted(printable(part), part === id ? CYAN : DIM, colored));
  const text = msg.split('\n').map((part) => painted(printable(part), color, colored));
  return [painted(printable(time), DIM, colored), ...who, text.join('\n    ')].join(' ');
}

function parse(json: string): z.infer<typeof Line> | undefined {
  try {
    return Line.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}
