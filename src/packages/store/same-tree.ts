/** Compares the contents of two installs of a package, whichever tools made them. */
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Files of the installing tool or of Python, which are not in the archive. */
const TOOLS_OWN = /(^|\/)(__pycache__|[^/]+\.dist-info\/(INSTALLER|RECORD|REQUESTED|direct_url\.json|uv_cache\.json))$/;
/** The first line of a script contains the path of the installing interpreter. */
const SCRIPTS = /^bin\//;
const CHUNK = 1 << 16;

/** Compares links by their text and never follows them. */
export async function sameTree(a: string, b: string): Promise<boolean> {
  const [inA, inB] = await Promise.all([list(a), list(b)]);
  if (inA.length !== inB.length || inA.some((name, index) => name !== inB[index])) return false;
  for (const name of inA) if (!(await sameEntry(join(a, name), join(b, name)))) return false;
  return true;
}

async function list(root: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (TOOLS_OWN.test(name) || SCRIPTS.test(name)) continue;
    if (entry.isDirectory()) found.push(...(await list(root, name)));
    else found.push(name);
  }
  return found.sort();
}

async function sameEntry(a: string, b: string): Promise<boolean> {
  const [statA, statB] = await Promise.all([lstat(a), lstat(b)]);
  if (statA.isSymbolicLink() && statB.isSymbolicLink()) return (await readlink(a)) === (await readlink(b));
  if (!statA.isFile() || !statB.isFile() || statA.size !== statB.size) return false;
  const files = await Promise.all([open(a), open(b)]);
  try {
    const buffers = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)] as const;
    for (;;) {
      const [readA, readB] = await Promise.all([
        files[0].read(buffers[0], 0, CHUNK),
        files[1].read(buffers[1], 0, CHUNK),
      ]);
      if (readA.bytesRead !== readB.bytesRead) return false;
      if (readA.bytesRead === 0) return true;
      const ends = readA.bytesRead;
      if (!buffers[0].subarray(0, ends).equals(buffers[1].subarray(0, ends))) return false;
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}
