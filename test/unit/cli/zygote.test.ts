import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTree } from '../../../src/config/tree';
import type { ZygoteReport } from '../../../src/zygote/policy/types';
import { runOl } from '../../support/cli';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'zygote-cli-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const ol = (...argv: string[]) => runOl(argv, { cwd: dir });

describe('ol zygote fit', () => {
  const lines = [
    { type: 'function', id: '1', name: 'stats', deps: ['numpy==1.26.0', 'pandas==2.1.0'] },
    { type: 'function', id: '2', name: 'more', deps: ['numpy==1.26.0', 'pandas==2.1.0', 'scipy==1.11.2'] },
    { type: 'invocation', id: '1', name: 'stats' },
    { type: 'invocation', id: '2', name: 'more' },
  ];

  beforeEach(() => {
    writeFileSync(join(dir, 'trace.json'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    writeFileSync(join(dir, 'costs.json'), JSON.stringify({ 'pandas==2.1.0': { ms: 230, mb: 9 } }));
  });

  it('prints the tree, writes it as import_cache_tree expects it, and draws it', async () => {
    const argv = [
      'zygote',
      'fit',
      '--trace',
      'trace.json',
      '--costs',
      'costs.json',
      '-o',
      'tree.json',
      '--svg',
      't.svg',
    ];
    const { code, out, err } = await ol(...argv);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/\(root\).*\n└─ pandas==2\.1\.0 numpy==1\.26\.0 {2}saves .* ms per invocation/);
    expect(out).toContain('2 invocations: ');
    const [child] = loadTree(join(dir, 'tree.json')).children;
    expect(child?.packages.toSorted()).toEqual(['numpy==1.26.0', 'pandas==2.1.0']);
    const svg = readFileSync(join(dir, 't.svg'), 'utf8');
    expect(svg).toMatch(/^<svg/);
    expect(svg).toContain('pandas==2.1.0 numpy==1.26.0');
  });

  it.each([
    [[], '--trace must name'],
    [['--trace', 'none.json'], '--trace: cannot read'],
    [['--trace', 'trace.json', '--memory', 'lots'], '--memory must be a number from 1'],
    [['--trace', 'trace.json', '--costs', 'trace.json'], '--costs: cannot read JSON'],
  ])('with %j reports %s', async (argv, message) => {
    const { code, err } = await ol('zygote', 'fit', ...argv);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });

  it('reports a trace without calls', async () => {
    writeFileSync(join(dir, 'trace.json'), JSON.stringify(lines[0]));
    expect((await ol('zygote', 'fit', '--trace', 'trace.json')).err).toContain('records no invocation');
  });
});

describe('ol zygote show', () => {
  const report: ZygoteReport = {
    mode: 'popularity',
    memory: { usedMb: 21.5, limitMb: 200 },
    zygotes: [
      {
        id: '',
        parent: null,
        packages: [],
        forks: 7,
        fromSpares: 4,
        savedMs: 0,
        mb: 9,
        spares: 1,
        replicas: 1,
        state: 'ready',
      },
      {
        id: 'p',
        parent: '',
        packages: ['pandas==2.1.0'],
        forks: 3,
        fromSpares: 0,
        savedMs: 690,
        mb: 12.5,
        spares: 0,
        replicas: 2,
        state: 'draining',
      },
    ],
  };
  let server: Server;
  let answer: { status: number; body: string };

  beforeEach(async () => {
    answer = { status: 200, body: JSON.stringify(report) };
    server = createServer((request, response) => {
      response.writeHead(request.url === '/zygotes' ? answer.status : 404).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ worker_port: `${port}`, worker_url: 'localhost' }));
  });
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
  });

  it('draws the live tree on the terminal and as SVG', async () => {
    const { code, out, err } = await ol('zygote', 'show', '-p', '.', '--svg', 'live.svg');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n').slice(0, 3)).toEqual([
      '(root)  7 forks (4 from spares), 0 ms saved, 9.0 MB, 1 spares',
      '└─ pandas==2.1.0  3 forks, 690 ms saved, 12.5 MB, 0 spares, 2 replicas, draining',
      'popularity: 2 zygotes hold 21.5 of 200 MB',
    ]);
    expect(readFileSync(join(dir, 'live.svg'), 'utf8')).toContain('pandas==2.1.0');
  });

  it('reports that there are no zygotes', async () => {
    answer.body = JSON.stringify({ mode: '', memory: { usedMb: 0, limitMb: 0 }, zygotes: [] });
    expect((await ol('zygote', 'show', '-p', '.')).out).toBe('features.import_cache is off: there are no zygotes\n');
  });

  it.each([
    [404, '404 page not found\n', 'answered 404: 404 page not found'],
    [200, '{"mode":"tree"}', 'no list of zygotes'],
    [200, 'ready', 'no list of zygotes'],
  ])('reports an answer of %d %j', async (status, body, message) => {
    answer = { status, body };
    const { code, err } = await ol('zygote', 'show', '-p', '.');
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});

describe('ol zygote simulate', () => {
  const REQBENCH = process.env['ARGYLE_REQBENCH'] ?? join(__dirname, '../../../../shared/reqbench');
  /** Small versions of the simulator's three files. ReqBench itself may be absent. */
  function smallData(): string {
    const write = (name: string, json: unknown): void => {
      writeFileSync(join(dir, name), JSON.stringify(json));
    };
    write('top_500_pkgs.json', { 'a==1': { 'a==1': 9 }, 'b==1': { 'a==1,b==1': 5, 'b==1,c==1': 1 } });
    write('costs.json', { 'a==1': { ms: 50, mb: 2 }, 'b==1': { ms: 100, mb: 4 } });
    write('install_import.json', { c: { 1: { ms: 10, mb: 1 } } });
    write('deps.json', { b: { 1: { 'a==1,b==1': 5 } } });
    return dir;
  }

  const sources: [name: string, data: () => string][] = [['made-up data', smallData]];
  if (existsSync(REQBENCH)) sources.push(['ReqBench', () => REQBENCH]);

  it.each(sources)(
    'prints and draws the comparison for %s',
    async (_name, data) => {
      const sizes = ['--invocations', '2000', '--functions', '30', '--memory', '128,256', '--seed', '3'];
      const { code, out, err } = await ol('zygote', 'simulate', '--reqbench', data(), ...sizes, '--out', 'result');
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const rows = out.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2).join(' '));
      expect(rows[0]).toBe('policy memory MB');
      const policies = ['none', 'root', 'static', 'lru', 'popularity'];
      expect(rows.slice(1, 11)).toEqual([128, 256].flatMap((mb) => policies.map((policy) => `${policy} ${mb}`)));
      const saved = JSON.parse(readFileSync(join(dir, 'result/simulate.json'), 'utf8')) as { results: unknown[] };
      expect(saved.results).toHaveLength(10);
      expect(readFileSync(join(dir, 'result/simulate.svg'), 'utf8')).toMatch(/^<svg[^]*popularity/);
    },
    60_000,
  );

  it.each([
    [[], '--reqbench must name'],
    [['--reqbench', 'nowhere'], 'cannot read'],
    [['--reqbench', 'x', '--memory', '128,many'], '--memory must be a number from 64'],
    [['--reqbench', 'x', '--zipf', '-1'], '--zipf must be a number from 0 to 10'],
  ])('with %j reports %s', async (argv, message) => {
    const { code, err } = await ol('zygote', 'simulate', ...argv);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});
