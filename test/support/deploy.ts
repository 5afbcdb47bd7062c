/** Uploads functions to a worker as its clients do: POSTs an archive to /registry. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { create } from 'tar';

/** The functions of test/lambdas. `bad/NAME` are faulty or malicious. */
export const LAMBDAS_DIR = resolve(__dirname, '../lambdas');

/** A function's source: a directory, or the text of its files by relative path. */
export type LambdaSource = string | Record<string, string>;

export interface Answer {
  status: number;
  headers: Headers;
  body: string;
}

/** Packs a function as `ol admin install` does: the directory's contents at the root of a gzipped tar. */
export async function packLambda(source: LambdaSource): Promise<Buffer> {
  if (typeof source !== 'string') return packFiles(source);
  const names = (await readdir(source)).filter((name) => name !== '__pycache__');
  return buffer(
    create({ gzip: true, cwd: source, portable: true, filter: (path) => !path.includes('__pycache__') }, names),
  );
}

/**
 * Uploads a function. The default name is the last part of its directory's name.
 * @param worker the worker's URL, e.g. http://127.0.0.1:5000
 * @param source a directory, the name of one below test/lambdas, or files
 * @param when value of `?install=`; the worker's default if absent
 * @returns the function's name
 * @throws Error when the worker does not answer 201
 */
export async function deploy(worker: string, source: LambdaSource, name?: string, when?: 'wait'): Promise<string> {
  const found = typeof source === 'string' ? resolve(LAMBDAS_DIR, source) : source;
  const target = name ?? (typeof found === 'string' ? found.slice(dirname(found).length + 1) : 'inline');
  const answer = await upload(worker, target, await packLambda(found), when);
  if (answer.status !== 201) throw new Error(`upload of ${target}: ${answer.status} ${answer.body}`);
  return target;
}

/** POSTs an archive, or any other body, and returns the worker's answer. @param when as for deploy() */
export async function upload(worker: string, name: string, archive: Buffer | string, when?: 'wait'): Promise<Answer> {
  const body = typeof archive === 'string' ? archive : new Uint8Array(archive);
  const query = when === undefined ? '' : `?install=${when}`;
  return answerOf(await fetch(`${worker}/registry/${encodeURIComponent(name)}${query}`, { method: 'POST', body }));
}

/**
 * Calls a function.
 * @param path the function's name, optionally followed by a path and a query
 * @param event sent as JSON; undefined sends an empty body
 */
export async function invoke(worker: string, path: string, event?: unknown, init: RequestInit = {}): Promise<Answer> {
  const body = event === undefined ? null : JSON.stringify(event);
  return answerOf(await fetch(`${worker}/run/${path}`, { method: 'POST', body, redirect: 'manual', ...init }));
}

/** The statistics of /stats. */
export async function stats(worker: string): Promise<Record<string, number>> {
  return (await fetch(`${worker}/stats`)).json() as Promise<Record<string, number>>;
}

async function packFiles(files: Record<string, string>): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'argyle-lambda-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), text);
    }
    return await packLambda(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, headers: response.headers, body: await response.text() };
}
