/** The helper in its installed form: setuid root, for the callers' group, with a compiled-in config path. */
import { chmodSync, chownSync, copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OUT, buildHelper } from './build';
import { CALLERS_GROUP, type Fixture } from './fixture';

const CONF = join(OUT, 'etc/helper.conf');

/** Copies the setuid variant to the fixture's directory. @returns options for RawHelper */
export function installSetuid(fixture: Fixture): { binary: string; args: string[] } {
  mkdirSync(dirname(CONF), { recursive: true, mode: 0o755 });
  const built = buildHelper('sandbox-helper-setuid', [`-DARGYLE_CONFIG="${CONF}"`]);
  const binary = join(fixture.dir, 'sandbox-helper');
  copyFileSync(built, binary);
  chownSync(binary, 0, CALLERS_GROUP);
  chmodSync(binary, 0o4750);
  return { binary, args: [] };
}

/** The only helper.conf that the variant reads. */
installSetuid.conf = CONF;
