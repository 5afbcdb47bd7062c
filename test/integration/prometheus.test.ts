/** A real Prometheus of Debian reads the metrics of a worker and accepts the rules in configs/prometheus. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeContract, liveWorker } from '../support/contract-target';
import { freePort } from '../support/ports';
import { until } from '../support/until';

const CONFIGS = resolve(__dirname, '../../configs/prometheus');
const describeHere =
  existsSync('/usr/bin/promtool') || process.env['ARGYLE_MUST_WORK'] === '1' ? describe : describe.skip;
jest.setTimeout(60_000);

describeHere('configs/prometheus', () => {
  const promtool = (...args: string[]): string =>
    execFileSync('/usr/bin/promtool', args, { cwd: CONFIGS, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });

  test('the configuration and the rules are valid', () => {
    expect(promtool('check', 'config', 'prometheus.yml')).toContain('SUCCESS: 12 rules found');
  });

  test('the rules record and alert as their tests expect', () => {
    expect(promtool('test', 'rules', 'rules-test.yml')).toContain('SUCCESS');
  });
});

describeContract('Prometheus', () => {
  const worker = liveWorker();
  const dir = mkdtempSync(join(tmpdir(), 'prometheus-'));
  let prometheus: ChildProcess | undefined;
  let port = 0;

  const query = async (expr: string): Promise<[labels: Record<string, string>, value: number][]> => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`;
    const answer = (await (await fetch(url)).json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return answer.data.result.map(({ metric, value }) => [metric, Number(value[1])]);
  };

  beforeAll(async () => {
    port = await freePort();
    const target = worker.url.replace('http://', '');
    const config = [
      'global: { scrape_interval: 1s, evaluation_interval: 1s }',
      `rule_files: [${join(CONFIGS, 'rules.yml')}]`,
      `scrape_configs: [{ job_name: argyle, static_configs: [{ targets: ['${target}'] }] }]`,
    ];
    writeFileSync(join(dir, 'prometheus.yml'), `${config.join('\n')}\n`);
    const args = [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`];
    prometheus = spawn('/usr/bin/prometheus', [...args, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' });
    await until(
      'Prometheus is ready',
      async () => (await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined))?.ok === true,
      30_000,
    );
  }, 60_000);
  afterAll(async () => {
    if (prometheus?.exitCode === null) {
      const ended = once(prometheus, 'exit');
      prometheus.kill('SIGTERM');
      await ended;
    }
    rmSync(dir, { recursive: true, force: true });
  });

  test('scrapes a worker and finds its functions, starts, limits, memory and processors', async () => {
    const code =
      'import time\ndef f(event):\n    if event == "late": time.sleep(9)\n    sum(range(300000))\n    return 1\n';
    const name = await worker.deploy('seen', { 'f.py': code, 'ol.yaml': 'limits:\n  runtime_sec: 1\n' });
    for (let i = 0; i < 5; i++) expect((await worker.invoke(name, i)).status).toBe(200);
    expect((await worker.invoke(name, 'late')).status).toBe(502);
    expect((await worker.invoke(name, 'again')).status).toBe(200);
    const own = `{lambda="${name}"}`;
    await until('it was scraped', async () => (await query(`argyle_timeouts_total${own}`)).length > 0, 20_000);
    expect((await query('up'))[0]?.[1]).toBe(1);
    expect((await query(`sum(argyle_requests_total${own})`))[0]?.[1]).toBe(7);
    expect((await query(`argyle_timeouts_total${own}`))[0]?.[1]).toBe(1);
    expect((await query('argyle_errors_total{code="TIMEOUT"}'))[0]?.[1]).toBe(1);
    expect((await query('argyle_trigger_calls_total{trigger="http"}'))[0]?.[1]).toBe(7);
    expect((await query(`argyle_queue_wait_seconds_count${own}`))[0]?.[1]).toBe(6);
    expect((await query('sum(argyle_starts_total)'))[0]?.[1]).toBe(2);
    expect((await query('sum(argyle_zygote_lookups_total)'))[0]?.[1]).toBe(2);
    expect((await query('argyle_code_pull_seconds_count'))[0]?.[1]).toBe(1);
    expect((await query(`argyle_import_seconds_count${own}`))[0]?.[1]).toBe(2);
    expect((await query(`argyle_function_memory_bytes${own}`))[0]?.[1]).toBeGreaterThan(1 << 18);
    expect((await query(`argyle_function_cpu_seconds_total${own}`))[0]?.[1]).toBeGreaterThan(0.001);
    const tiers = await query('argyle_memory_tier_bytes');
    expect(tiers.map(([{ tier }]) => tier).sort()).toEqual(['installer', 'instance', 'paused', 'spare', 'zygote']);
    const [[, used] = [{}, 0]] = await query('argyle_memory_pool_used_bytes');
    expect(tiers.reduce((sum, [, bytes]) => sum + bytes, 0)).toBeCloseTo(used, -6);
    expect((await query('argyle_build_info'))[0]?.[0]).toMatchObject({ node: process.version });
    expect(await query('argyle_instances{state="queued"}')).toEqual([]);
  });

  test('evaluates the rules without errors', async () => {
    const url = `http://127.0.0.1:${port}/api/v1/rules`;
    const rules = async () => {
      const { data } = (await (await fetch(url)).json()) as {
        data: { groups: { rules: { health: string; name: string }[] }[] };
      };
      return data.groups.flatMap((group) => group.rules);
    };
    await until('all are evaluated', async () => (await rules()).every(({ health }) => health !== 'unknown'), 20_000);
    expect((await rules()).filter(({ health }) => health !== 'ok')).toEqual([]);
    expect(await rules()).toHaveLength(12);
  });

  test('accepts the text: no duplicate series, and a type for each', () => {
    const text = execFileSync('curl', ['-s', `${worker.url}/metrics`], { encoding: 'utf8' });
    const { stderr } = spawnSync('/usr/bin/promtool', ['check', 'metrics', '--extended'], {
      input: text,
      encoding: 'utf8',
    });
    // prom-client names Node's own metrics, so their names are not checked.
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('nodejs_'))).toEqual([]);
  });
});
