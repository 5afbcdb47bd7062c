/** `ol bench init`: stores the benchmarks' functions in a worker's registry. The worker need not run. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { openStore } from '../../lambda/registry/open-store';
import { BUCKET_STORES } from '../../lambda/registry/stores';
import type { RegistryStore } from '../../lambda/ports';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { withProgress } from '../progress';
import { PATH_FLAG, olDirOf } from '../worker/flags';
import { benchConfig, countOf } from './config';
import { functionName, KINDS, SOURCES, type Kind } from './table';

/** Enough functions for all benchmarks except the largest. */
const DEFAULT_FUNCTIONS = 1024;
const MAX_FUNCTIONS = 64 * 1024;
/** Concurrent writes. A write waits for the disk or the network. */
const WRITES_AT_ONCE = 32;

async function pack(kind: Kind, staging: string): Promise<string> {
  const tree = join(staging, kind);
  mkdirSync(tree);
  for (const [file, text] of Object.entries(SOURCES[kind])) writeFileSync(join(tree, file), text);
  const archive = join(staging, `${kind}.tar.gz`);
  await create({ gzip: true, file: archive, cwd: tree, portable: true }, readdirSync(tree).sort());
  return archive;
}

async function putAll(
  store: RegistryStore,
  kind: Kind,
  { count, archive, onPut }: { count: number; archive: string; onPut: (index: number) => void },
): Promise<void> {
  let index = 0;
  const writer = async (): Promise<void> => {
    while (index < count) {
      await store.put(functionName(kind, index++), archive);
      onPut(index);
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, writer));
}

async function run({ flags, args, cwd, out }: CommandContext): Promise<number> {
  if (args.length > 0) throw new CliError(`ol bench init takes no arguments, found ${args.join(' ')}`);
  const count = countOf(flags, 'functions', 1, MAX_FUNCTIONS);
  const { registry } = benchConfig(olDirOf(cwd, flags.string('path')));
  const store = await openStore(registry, BUCKET_STORES);
  const staging = mkdtempSync(join(tmpdir(), 'ol-bench-'));
  try {
    for (const kind of KINDS) {
      const archive = await pack(kind, staging);
      await withProgress((progress) => {
        progress.step(`writing ${kind} functions`, count);
        return putAll(store, kind, {
          count,
          archive,
          onPut: (index) => {
            progress.at(index);
          },
        });
      });
      out(`created ${count} functions: ${functionName(kind, 0)} to ${functionName(kind, count - 1)}\n`);
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
    await store.close();
  }
  return EXIT.ok;
}

export const initCommand: Command = {
  name: 'init',
  usage: 'put the functions that the benchmarks call into the registry',
  flags: [
    PATH_FLAG,
    {
      name: 'functions',
      aliases: ['n'],
      kind: 'string',
      value: String(DEFAULT_FUNCTIONS),
      usage: 'how many of each kind',
    },
  ],
  run,
};
