import { mountsBelow } from '../../../../src/cli/worker/mounts';

const INFO = [
  '22 1 8:1 / / rw - ext4 /dev/sda1 rw',
  '30 22 0:25 / /srv/ol/worker/root-sandboxes/1 rw - tmpfs t rw',
  '31 30 0:26 / /srv/ol/worker/root-sandboxes/1/packages ro - ext4 /dev/sda1 rw',
  '32 22 0:27 / /srv/ol/worker2 rw - tmpfs t rw',
  '33 22 0:28 / /srv/ol/worker/a\\040b rw - tmpfs t rw',
].join('\n');

test('lists mounts below a directory, the latest first, with decoded escapes', () => {
  expect(mountsBelow(INFO, '/srv/ol/worker')).toEqual([
    '/srv/ol/worker/a b',
    '/srv/ol/worker/root-sandboxes/1/packages',
    '/srv/ol/worker/root-sandboxes/1',
  ]);
});

test('includes the directory itself and excludes its siblings', () => {
  expect(mountsBelow(INFO, '/srv/ol/worker2')).toEqual(['/srv/ol/worker2']);
  expect(mountsBelow(INFO, '/srv/ol/wor')).toEqual([]);
});
