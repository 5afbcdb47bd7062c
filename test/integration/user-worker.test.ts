/**
 * A worker of an ordinary user, with the helper installed setuid. The installation is in a separate mount namespace
 * with an overlay over /etc, so the machine itself does not change.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { chmodSync } from 'node:fs';
import { startTestMirror, type TestMirror } from '../support/mirror';
import { OlDir, PROGRAM, ROOT } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';

jest.setTimeout(120_000);

/** An id of no account: neither root's nor a sandbox's. */
const USER = 64320;

const SCRIPT = `
set -eu
cd "$DIR"
mkdir etc libexec home fn
mount -t tmpfs none etc
mkdir etc/upper etc/work
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$DIR/etc/upper,workdir=$DIR/etc/work" /etc
cp -r "$ROOT/build/guest" "$ROOT/build/libargyle.so" "$ROOT/build/sandbox-helper" libexec/
chown root:$USER_ID libexec/sandbox-helper
chmod 4750 libexec/sandbox-helper
chown $USER_ID:$USER_ID home
mkdir -p /etc/argyle
sed "s#^root .*#root $DIR/home#; s#^caller_gid .*#caller_gid $USER_ID#; s#^guest .*#guest $DIR/libexec/guest#" \
  "$ROOT/configs/helper.conf" >/etc/argyle/helper.conf
chmod 755 /etc/argyle
chmod 644 /etc/argyle/helper.conf
printf 'import sys\ndef f(event):\n    return [event, sys.version_info[0]]\n' >fn/f.py
mkdir packaged
printf 'argyle-sample-tiny==1.0.0\n' >packaged/requirements.txt
printf 'import os, argyle_sample_tiny\ndef f(event):\n    return [argyle_sample_tiny.__version__, os.listdir("/packages")]\n' \
  >packaged/f.py
ol() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups env "HOME=$DIR/home" "$PROGRAM" "$@"; }
ol worker init -p home/w >&2
sed -i 's#"helper": ""#"helper": "'"$DIR"'/libexec/sandbox-helper"#; s/"5000"/"'"$PORT"'"/; s#"pip_mirror": ""#"pip_mirror": "'"$MIRROR"'"#' \
  home/w/config.json
ol worker up -p home/w -d >&2 || { cat home/w/worker.out >&2; exit 1; }
trap 'ol worker down -p home/w >&2' EXIT
ol admin install -p home/w fn >&2
stat -c 'uid=%u' "/proc/$(cat home/w/worker/worker.pid)"
curl -sS -m 20 -d '{"x":1}' "http://127.0.0.1:$PORT/run/fn"
echo
ol admin install -p home/w packaged >&2
curl -sS -m 20 -d '{}' "http://127.0.0.1:$PORT/run/packaged"
echo
find home/w/lambda/packages -mindepth 1 '(' ! -user $USER_ID -o -perm /7022 ! -type l ')' -printf '%p '
echo
stat -c '%u %a' home/w/lambda/packages home/w/lambda/packages/argyle-sample-tiny==1.0.0/files/argyle_sample_tiny
setpriv --reuid 64321 --regid 64321 --clear-groups ls home/w/lambda/packages 2>&1 || true
`;

describePrivileged(
  'an ordinary user’s worker',
  () => {
    const here = new OlDir();
    let mirror: TestMirror;
    beforeAll(async () => {
      mirror = await startTestMirror();
    });
    afterAll(async () => {
      await mirror.close();
      await here.dispose();
    });

    test('initialises, starts, installs and answers without rights of root', async () => {
      chmodSync(here.dir, 0o755);
      const env = {
        ...process.env,
        ...{ DIR: here.dir, ROOT, PROGRAM, PORT: String(await freePort()), USER_ID: String(USER) },
        MIRROR: mirror.url,
      };
      const { stdout } = await promisify(execFile)('unshare', ['--mount', 'bash', '-c', SCRIPT], {
        env,
        timeout: 90_000,
      });
      const [worker = '', answer = '', packaged = '', foreign, ...closed] = stdout.split('\n');
      expect(worker).toBe(`uid=${USER}`);
      expect(JSON.parse(answer)).toEqual([{ x: 1 }, 3]);
      expect(JSON.parse(packaged)).toEqual(['1.0.0', ['argyle-sample-tiny==1.0.0']]);
      // All files belong to the worker, no other user may write to them, and no other user can reach them.
      expect(foreign).toBe('');
      expect(closed.slice(0, 2)).toEqual([`${USER} 700`, `${USER} 755`]);
      expect(closed[2]).toContain('Permission denied');
    });
  },
  ['curl'],
);
