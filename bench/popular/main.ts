/**
 * `make popular`: deploys 60 packages of PyPI, each from one unpinned line, and uses each once, with uv and with pip.
 */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { quantile } from '../stats';
import { LiveWorker } from '../subjects/live-worker';
import { POPULAR, type PopularPackage } from './packages';

const ROOT = join(__dirname, '../../../..');
/** Time limit from the upload to the answer, s. */
const HUNG_SEC = 180;
const LIMITS = { mem_mb: 768, procs: 100, runtime_sec: 60 };

interface Result {
  requirement: string;
  verdict: 'right' | 'wrong' | 'hung';
  seconds: number;
  why: string;
}

function sourceOf({ code }: PopularPackage): string {
  const statements = code.split('; ');
  const last = statements.pop() ?? '';
  return `def f(event):\n${statements.map((line) => `    ${line}\n`).join('')}    return ${last}\n`;
}

async function tryOne(worker: LiveWorker, item: PopularPackage, index: number): Promise<Result> {
  const startMs = performance.now();
  const name = `popular${index}`;
  const use = async (): Promise<Pick<Result, 'verdict' | 'why'>> => {
    await worker.install(name, { 'f.py': sourceOf(item), 'requirements.txt': `${item.requirement}\n` }, 'lazy');
    const { text } = await worker.call(name, '{}');
    const right = isDeepStrictEqual(JSON.parse(text), item.gives);
    return right ? { verdict: 'right', why: '' } : { verdict: 'wrong', why: text.slice(0, 200) };
  };
  const hung = new Promise<Pick<Result, 'verdict' | 'why'>>((resolve) =>
    setTimeout(resolve, HUNG_SEC * 1000, { verdict: 'hung', why: `no answer in ${HUNG_SEC} s` }).unref(),
  );
  const failed = (thrown: unknown): Pick<Result, 'verdict' | 'why'> => ({ verdict: 'wrong', why: String(thrown) });
  const { verdict, why } = await Promise.race([use().catch(failed), hung]);
  return { requirement: item.requirement, verdict, why, seconds: (performance.now() - startMs) / 1000 };
}

async function tryAll(tool: string, items: readonly PopularPackage[]): Promise<Result[]> {
  const worker = new LiveWorker(ROOT, { limits: LIMITS, argyle: { installer: tool } });
  await worker.start();
  const results: Result[] = [];
  try {
    for (const [index, item] of items.entries()) {
      const result = await tryOne(worker, item, index);
      results.push(result);
      console.error(`${tool} ${item.requirement}: ${result.verdict}, ${result.seconds.toFixed(2)} s ${result.why}`);
    }
  } finally {
    await worker.stop();
  }
  return results;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, tools: { type: 'string', default: 'uv,pip' } },
  });
  const only = values.only?.split(',');
  const items = POPULAR.filter(({ requirement }) => only?.includes(requirement) ?? true);
  const tools = values.tools.split(',');
  const byTool = new Map<string, Result[]>();
  for (const tool of tools) byTool.set(tool, await tryAll(tool, items));

  console.log(
    `| package | ${tools.map((tool) => `${tool}, s`).join(' | ')} |\n| --- | ${tools.map(() => '---:').join(' | ')} |`,
  );
  items.forEach(({ requirement }, index) => {
    const cells = tools.map((tool) => {
      const { verdict, seconds } = byTool.get(tool)?.[index] ?? { verdict: 'wrong', seconds: 0 };
      return verdict === 'right' ? seconds.toFixed(1) : verdict;
    });
    console.log(`| ${requirement} | ${cells.join(' | ')} |`);
  });
  for (const [tool, results] of byTool) {
    const count = (verdict: string): number => results.filter((result) => result.verdict === verdict).length;
    const seconds = results.map((result) => result.seconds);
    const times = `median ${quantile(seconds, 0.5).toFixed(1)} s, at most ${Math.max(...seconds).toFixed(1)} s`;
    console.log(`${tool}: ${count('right')} right, ${count('wrong')} wrong, ${count('hung')} hung; ${times}`);
  }
}

void main();
