import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { indexHosts, readNetrc } from '../../../../src/packages/install/netrc';

describe('the hosts of indexes', () => {
  test.each<[string, Record<string, string>, string[]]>([
    ['', {}, ['pypi.org']],
    ['http://m.example:81/simple', { PIP_INDEX_URL: 'https://a.example' }, ['m.example']],
    [
      '',
      { PIP_INDEX_URL: 'https://a.example/s', PIP_EXTRA_INDEX_URL: 'https://b.example/ https://a.example/t' },
      ['a.example', 'b.example'],
    ],
    ['', { PIP_FIND_LINKS: '/usr/share/w https://c.example/w' }, ['pypi.org', 'c.example']],
    ['', { PIP_INDEX_URL: 'nonsense' }, []],
  ])('mirror %j, environment %j', (mirror, env, hosts) => {
    expect(indexHosts(mirror, env)).toEqual(hosts);
  });
});

describe('netrc for installers', () => {
  const home = mkdtempSync(join(tmpdir(), 'argyle-netrc-'));
  afterAll(() => {
    rmSync(home, { recursive: true });
  });
  const read = (text: string, hosts: string[], env: NodeJS.ProcessEnv = { HOME: home }) => {
    writeFileSync(join(home, '.netrc'), text, { mode: 0o600 });
    return readNetrc(hosts, env);
  };

  test('has only the entries of these hosts', async () => {
    const text = 'machine a login x password 1\nmachine b login y password "2 \\"3"\nmachine c login z password 4\n';
    expect(await read(text, ['b', 'a', 'd'])).toBe(
      'machine b login y password "2 \\"3"\nmachine a login x password 1\n',
    );
  });

  test('has one entry per host for a default entry', async () => {
    expect(await read('default login x password 1\n', ['a', 'b'])).toBe(
      'machine a login x password 1\nmachine b login x password 1\n',
    );
  });

  test('is empty without hosts, without a file, and for an unreadable file', async () => {
    expect(await read('machine a login x password 1\n', [])).toBe('');
    expect(await read('nonsense a\n', ['a'])).toBe('');
    expect(await readNetrc(['a'], { HOME: '/nonexistent' })).toBe('');
  });

  test('is read from the file in NETRC', async () => {
    const other = join(home, 'other');
    writeFileSync(other, 'machine a login o password 9\n', { mode: 0o600 });
    const env = { HOME: home, NETRC: other };
    expect(await read('machine a login x password 1\n', ['a'], env)).toBe('machine a login o password 9\n');
  });
});
