/**
 * Views of packages. A view is a directory of links for one set of packages; the helper binds the view on /packages of
 * a sandbox. A link leads to the package's directory below /runtime/store. These directories have random names, and no
 * sandbox can list the store. A sandbox therefore finds the packages that it requires and cannot detect other installed
 * packages. See docs/adr/0010.
 *
 * Views lie next to the code directories, because the helper binds directories from there. The name of a view is a
 * digest of its content. A view is made once, shared by all sandboxes with the same packages, and removed with the
 * worker's directory.
 */
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgyleError } from '../../errors';

/** Mount point of the store in every sandbox. */
export const STORE = '/runtime/store';
/**
 * Prefix of a view's name. It differs from the names of code directories, which begin with a number or with a word and
 * a number.
 */
const PREFIX = 'packages-';
const DIGEST_CHARS = 32;
const PRESENT: ReadonlySet<string> = new Set(['ENOTEMPTY', 'EEXIST']);

export class PackageViews {
  /** Views by their packages and the packages' places, in the order of the request. */
  private readonly made = new Map<string, Promise<string>>();

  /**
   * Returns the name of an installed package's directory in the store; undefined when the package is not installed. The
   * package layer sets this function.
   */
  placeOf: (spec: string) => string | undefined = () => undefined;

  /** @param dir `<worker_dir>/code` */
  constructor(private readonly dir: string) {}

  /**
   * Returns the name of the view with these packages; '' for no packages.
   * @throws ArgyleError SANDBOX_CREATE when a package is not installed, or the view cannot be made
   */
  of(specs: readonly string[]): Promise<string> {
    if (specs.length === 0) return NONE;
    let key = '';
    for (const spec of specs) key += `${spec}/${this.place(spec)}/`;
    let view = this.made.get(key);
    if (view === undefined) {
      view = this.make(specs);
      this.made.set(key, view);
      view.catch(() => this.made.delete(key));
    }
    return view;
  }

  private place(spec: string): string {
    const place = this.placeOf(spec);
    if (place !== undefined) return place;
    throw new ArgyleError('SANDBOX_CREATE', `package ${spec} is not installed`, { field: 'package', value: spec });
  }

  private async make(specs: readonly string[]): Promise<string> {
    const { dir } = this;
    const links = [...new Set(specs)].sort().map((spec) => [spec, `${STORE}/${this.place(spec)}`] as const);
    const digest = createHash('sha256').update(JSON.stringify(links)).digest('hex');
    const name = PREFIX + digest.slice(0, DIGEST_CHARS);
    try {
      const draft = await mkdtemp(join(dir, PREFIX));
      await Promise.all(links.map(([spec, target]) => symlink(target, join(draft, spec))));
      await chmod(draft, 0o755);
      await rename(draft, join(dir, name)).catch(async (error: unknown) => {
        await rm(draft, { recursive: true });
        // The name is a digest of the content, so an existing directory has the same content.
        if (!PRESENT.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      });
      return name;
    } catch (cause) {
      const message = `cannot make the view of ${specs.length} packages: ${(cause as Error).message}`;
      throw new ArgyleError('SANDBOX_CREATE', message, { cause });
    }
  }
}

const NONE = Promise.resolve('');
