/** `ol ls`, `ol describe` and `ol rm`: list, describe and remove functions in the registry. */
import { z } from 'zod';
import { ask, askText, functionNames, JSON_FLAG, onlyArgument, refusal, TARGET_FLAG, targetOf } from '../ask';
import { unknownFunction } from '../ask';
import { EXIT, type Command, type CommandContext } from '../command';

/** Time limit of a description, ms. The worker answers it without waiting for anything. */
const DESCRIBE_MS = 30_000;

const installShape = z.object({
  state: z.string(),
  error: z.string().optional(),
  packages: z.array(z.object({ spec: z.string(), ms: z.number(), bytes: z.number() })),
});

/** `InForce` is missing in the answer of the original. */
const configShape = z.looseObject({ InForce: z.unknown() });

async function list(context: CommandContext): Promise<number> {
  const names = (await functionNames(targetOf(context))).sort();
  if (context.flags.bool('json')) context.out(`${JSON.stringify(names)}\n`);
  else if (names.length === 0) context.err('no functions; ol new makes one, ol admin install uploads it\n');
  else context.out(names.map((name) => `${name}\n`).join(''));
  return EXIT.ok;
}

/** Formats JSON as indented `key: value` lines. A list of plain values takes one line. Pure. */
export function outline(value: unknown, indent = ''): string {
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== 'object')) return value.length === 0 ? 'none' : value.join(', ');
    return value.map((item) => `\n${indent}- ${outline(item, `${indent}  `).trimStart()}`).join('');
  }
  if (typeof value !== 'object' || value === null) return String(value);
  const lines = Object.entries(value).map(([key, inner]) => {
    const text = outline(inner, `${indent}  `);
    return `\n${indent}${key}:${text.startsWith('\n') ? '' : ' '}${text}`;
  });
  return lines.length === 0 ? 'none' : lines.join('');
}

async function describe(context: CommandContext): Promise<number> {
  const name = onlyArgument(context.args, 'function');
  const target = targetOf(context);
  const path = `/registry/${encodeURIComponent(name)}`;
  const config = await ask(target, `${path}/config?in_force=1`, { limitMs: DESCRIBE_MS });
  if (config.status === 404) throw await unknownFunction(target, name);
  if (config.status !== 200) throw refusal(target, `${path}/config`, config);
  const install = await ask(target, `${path}/install`, { limitMs: DESCRIBE_MS });
  const { InForce: settings, ...own } = configShape.parse(JSON.parse(config.body.toString()));
  const found = {
    name,
    url: `${target.url}/run/${encodeURIComponent(name)}`,
    config: own,
    ...(settings === undefined ? {} : { settings }),
    // Only the worker that received the upload knows the install's progress.
    ...(install.status === 200 ? { install: installShape.parse(JSON.parse(install.body.toString())) } : {}),
  };
  context.out(context.flags.bool('json') ? `${JSON.stringify(found)}\n` : `${outline(found).trimStart()}\n`);
  return EXIT.ok;
}

async function remove(context: CommandContext): Promise<number> {
  const name = onlyArgument(context.args, 'function');
  const target = targetOf(context);
  if (!(await functionNames(target)).includes(name)) throw await unknownFunction(target, name);
  context.out(`${(await askText(target, `/registry/${encodeURIComponent(name)}`, { method: 'DELETE' })).trim()}\n`);
  return EXIT.ok;
}

export const lsCommand: Command = {
  name: 'ls',
  usage: 'list the functions of a worker',
  flags: [TARGET_FLAG, JSON_FLAG],
  interspersed: true,
  run: list,
};

export const describeCommand: Command = {
  name: 'describe',
  usage: 'show the settings and packages of a function',
  argsUsage: 'NAME',
  flags: [TARGET_FLAG, JSON_FLAG],
  interspersed: true,
  run: describe,
};

export const rmCommand: Command = {
  name: 'rm',
  usage: 'delete a function',
  argsUsage: 'NAME',
  flags: [TARGET_FLAG],
  interspersed: true,
  run: remove,
};
