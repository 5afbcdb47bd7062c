import { pipArgv, pipEnv, uvArgv, uvEnv } from '../../../../src/packages/install/tools';

const source = (env: Record<string, string>, mirror = '') => ({ env, mirror, timeoutSec: 15 });

describe("the host's pip configuration for uv", () => {
  test.each<[Record<string, string>, Record<string, string>]>([
    [{ PIP_INDEX_URL: 'https://a/simple' }, { UV_DEFAULT_INDEX: 'https://a/simple' }],
    [
      { PIP_EXTRA_INDEX_URL: 'https://a https://b' },
      { UV_INDEX: 'https://a https://b', UV_INDEX_STRATEGY: 'unsafe-best-match' },
    ],
    [{ PIP_FIND_LINKS: 'https://a /usr/w' }, { UV_FIND_LINKS: 'https://a,/usr/w' }],
    [{ PIP_NO_INDEX: '1' }, { UV_NO_INDEX: '1' }],
    [{ PIP_TRUSTED_HOST: 'a:80' }, { UV_INSECURE_HOST: 'a:80' }],
    [{ PIP_PRE: 'true' }, { UV_PRERELEASE: 'allow' }],
    [{ PIP_CERT: '/c.pem' }, { SSL_CERT_FILE: '/c.pem' }],
    [{ PIP_PROXY: 'http://p:1' }, { ALL_PROXY: 'http://p:1' }],
    [{ https_proxy: 'http://p:1' }, { https_proxy: 'http://p:1' }],
    [{ PIP_RETRIES: '5' }, { UV_HTTP_RETRIES: '5' }],
    [{ PIP_NO_BINARY: ':all:' }, { UV_NO_BINARY: '1' }],
    [{ PIP_NO_BINARY: 'a,b' }, { UV_NO_BINARY_PACKAGE: 'a b' }],
    [{ PIP_ONLY_BINARY: ':all:' }, { UV_NO_BUILD: '1' }],
  ])('%j', (pip, uv) => {
    expect(uvEnv(source(pip))).toMatchObject(uv);
  });

  test.each(['PIP_NO_INDEX', 'PIP_PRE'])('%s=false sets nothing', (name) => {
    const env = uvEnv(source({ [name]: 'false' }));
    expect(env['UV_NO_INDEX'] ?? env['UV_PRERELEASE']).toBeUndefined();
  });

  test('pip_mirror is the only index, and plain HTTP is allowed only for it', () => {
    const env = uvEnv(source({ PIP_INDEX_URL: 'https://a', PIP_EXTRA_INDEX_URL: 'https://b' }, 'http://m:8/simple/'));
    expect(env).toMatchObject({ UV_DEFAULT_INDEX: 'http://m:8/simple/', UV_INSECURE_HOST: 'm:8' });
    expect(env['UV_INDEX']).toBeUndefined();
  });

  test('both tools have the same connection timeout', () => {
    expect(uvEnv(source({}))['UV_HTTP_TIMEOUT']).toBe('15');
    const both = { PIP_TIMEOUT: '15', PIP_DEFAULT_TIMEOUT: '15' };
    expect(pipEnv(source({ PIP_DEFAULT_TIMEOUT: '180' }))).toMatchObject(both);
    expect(pipEnv(source({ PIP_TIMEOUT: '180' }))).toMatchObject(both);
  });
});

test('neither tool installs dependencies', () => {
  const pin = { spec: 'six==1.16.0', hashes: [] };
  for (const argv of [pipArgv(pin, ''), uvArgv(pin, '/usr/bin/python3')]) expect(argv).toContain('--no-deps');
});

test('both tools read a pin with hashes from a file and require the hashes', () => {
  const pin = { spec: 'six==1.16.0', hashes: ['sha256:00'] };
  for (const argv of [pipArgv(pin, '', '/tmp/x'), uvArgv(pin, '/usr/bin/python3', '/tmp/x')]) {
    expect(argv).toEqual(expect.arrayContaining(['--require-hashes', '-r', '/tmp/x']));
    expect(argv).not.toContain(pin.spec);
  }
});
