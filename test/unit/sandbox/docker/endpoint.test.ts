import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findEndpoint } from '../../../../src/sandbox/docker/endpoint';

describe('findEndpoint', () => {
  it.each([
    ['', 'unix:///var/run/docker.sock', 'http://docker'],
    ['unix:///x/y.sock', 'unix:///x/y.sock', 'http://docker'],
    ['tcp://10.0.0.1', 'tcp://10.0.0.1', 'http://10.0.0.1:2375'],
    ['tcp://engine:99', 'tcp://engine:99', 'http://engine:99'],
    ['tcp://[::1]:99', 'tcp://[::1]:99', 'http://[::1]:99'],
    ['tcp://[::1]', 'tcp://[::1]', 'http://[::1]:2375'],
    ['https://engine', 'https://engine', 'https://engine:2376'],
  ])('%j is %s', (host, name, origin) => {
    expect(findEndpoint(host, {})).toMatchObject({ name, origin });
  });

  it.each([
    ['unix://relative', /absolute/],
    ['nonsense', /no URL/],
    ['ssh://me@engine', /only unix/],
    ['tcp://', /no host|no URL/],
  ])('refuses %j', (host, why) => {
    const wanted: object = {
      code: 'CONFIG_INVALID',
      field: 'DOCKER_HOST',
      message: expect.stringMatching(why) as string,
    };
    expect(() => findEndpoint(host, {})).toThrow(expect.objectContaining(wanted) as Error);
  });

  it('requires the certificates of an engine that must be verified', () => {
    const dir = mkdtempSync(join(tmpdir(), 'argyle-certs-'));
    try {
      const variables = { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: dir };
      expect(() => findEndpoint('tcp://engine', variables)).toThrow(
        `DOCKER_CERT_PATH: ${dir}/ca.pem cannot be read: ENOENT`,
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
