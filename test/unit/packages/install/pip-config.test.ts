import {
  packageSources,
  pipEnvFromConfig,
  proxyEnv,
  readPipEnv,
  SANDBOX_CA_FILE,
} from '../../../../src/packages/install/pip-config';

describe('pip configuration for the sandbox', () => {
  test('the environment overrides the install section, which overrides global, as in pip', () => {
    const listing = [
      "global.index-url='https://one.example/simple'",
      "install.index-url='https://two.example/simple'",
      "global.timeout='10'",
      ":env:.timeout='180'",
      "install.retries='3'",
    ];
    const expected = { PIP_INDEX_URL: 'https://two.example/simple', PIP_TIMEOUT: '180', PIP_RETRIES: '3' };
    expect(pipEnvFromConfig(listing.join('\n'))).toEqual(expected);
    expect(pipEnvFromConfig([...listing].reverse().join('\n'))).toEqual(expected);
  });

  test('lists of several lines become values separated by blanks', () => {
    expect(pipEnvFromConfig(String.raw`global.extra-index-url='\nhttps://a.example/\nhttps://b.example/'`)).toEqual({
      PIP_EXTRA_INDEX_URL: 'https://a.example/ https://b.example/',
    });
  });

  test('a certificate bundle gets its path in the base image', () => {
    expect(pipEnvFromConfig("global.cert='/home/me/corp.pem'")).toEqual({ PIP_CERT: SANDBOX_CA_FILE });
  });

  test('wheel directories that the sandbox cannot see are dropped, and others stay', () => {
    expect(pipEnvFromConfig("global.find-links='/opt/wheels'")).toEqual({});
    expect(pipEnvFromConfig("global.find-links='/opt/w https://a.example/w /usr/share/w'")).toEqual({
      PIP_FIND_LINKS: 'https://a.example/w /usr/share/w',
    });
  });

  test('options about the place or the way of an install are dropped', () => {
    const listing = [
      "install.target='/x'",
      "global.user='true'",
      "global.cache-dir='/c'",
      "download.index-url='https://d'",
    ];
    expect(pipEnvFromConfig(listing.join('\n'))).toEqual({});
    expect(pipEnvFromConfig('nonsense\n\n=\n')).toEqual({});
  });

  test('proxies are set in both spellings', () => {
    const env = { http_proxy: 'http://p:1', HTTPS_PROXY: 'http://p:2', NO_PROXY: '', HOME: '/h' };
    expect(proxyEnv(env)).toEqual({ http_proxy: 'http://p:1', HTTPS_PROXY: 'http://p:2' });
  });

  test("the real pip is called, with the worker's variables", async () => {
    const env = { PATH: '/usr/bin', PIP_INDEX_URL: 'http://127.0.0.1:9/simple', PIP_TARGET: '/nowhere' };
    const found = await readPipEnv('/usr/bin/python3', env);
    expect(found['PIP_INDEX_URL']).toBe('http://127.0.0.1:9/simple');
    expect(found['PIP_TARGET']).toBeUndefined();
  });

  test('there are no settings without a pip', async () => {
    expect(await readPipEnv('/nonexistent/python3', { https_proxy: 'http://p:2' })).toEqual({
      https_proxy: 'http://p:2',
    });
  });

  test('the servers of an installer are known', () => {
    const env = {
      PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
      PIP_FIND_LINKS: 'https://a.example/w /usr/w',
      https_proxy: 'p:3128',
    };
    expect(packageSources(env).map(({ host }) => host)).toEqual(['127.0.0.1:9', 'a.example', 'p:3128']);
  });
});
