/** `make bench-install`: measures the time from a function's upload to its first answer, with packages of PyPI. */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { quantile } from './stats';
import { LiveWorker } from './subjects/live-worker';

const ROOT = join(__dirname, '../../..');
const TOOLS = ['uv', 'pip'] as const;
/** Ten pins. */
const AIOHTTP = `aiohappyeyeballs==2.7.1
aiohttp==3.14.5
aiosignal==1.4.0
attrs==26.1.0
frozenlist==1.8.0
idna==3.20
multidict==7.2.1
propcache==0.5.4
typing-extensions==4.16.0
yarl==1.25.1
`;
const AIOHTTP_F = 'import aiohttp\n\ndef f(event):\n    return aiohttp.__version__\n';

/** Twenty functions with three pins each. No pin occurs twice; each list is complete. */
const MANY = `async-timeout==5.0.1 redis==8.1.0 attrs==26.1.0
blinker==1.9.0 cachetools==8.0.2 certifi==2026.10.19.post1
charset-normalizer==3.5.3 click==8.5.1 colorama==0.4.6
decorator==5.3.1 distlib==0.4.4 docutils==0.23
filelock==4.3.1 frozenlist==1.8.0 greenlet==3.5.6
h11==0.16.0 hpack==4.2.0 hyperframe==6.1.0
idna==3.20 iniconfig==2.3.1 itsdangerous==2.2.0
lxml==6.1.3 markupsafe==3.0.4 mdurl==0.1.2
more-itertools==11.2.1 msgpack==1.2.4 multidict==7.2.1
networkx==3.6.1 orjson==3.13.0 packaging==26.4
platformdirs==4.14.8 pluggy==1.7.0 propcache==0.5.4
psutil==7.2.2 ptyprocess==0.7.0 pyasn1==0.6.5
pycparser==3.12 pygments==2.21.0 pytz==2026.6
pyyaml==6.0.4 tomli==2.5.0 regex==2026.11.19
simplejson==4.3.0 six==1.17.0 sniffio==1.3.1
sortedcontainers==2.4.0 soupsieve==2.10 sqlparse==0.6.1
tabulate==0.10.0 termcolor==3.3.0 toml==0.10.2
tqdm==4.70.1 typing-extensions==4.16.0 tzdata==2026.6
ujson==6.1.0 urllib3==2.8.0 wcwidth==0.9.4
websockets==17.4 wrapt==2.5.2 xmltodict==1.0.4
zipp==4.1.2 aiohappyeyeballs==2.7.1 pycosat==0.6.6`.split('\n');

/** Starts a worker without packages and calls `use`. */
async function withWorker<T>(tool: string, cache: string, use: (worker: LiveWorker) => Promise<T>): Promise<T> {
  const limits = { mem_mb: 128, procs: 32 };
  const worker = new LiveWorker(ROOT, { limits, features: { import_cache: cache }, argyle: { installer: tool } });
  await worker.start();
  try {
    return await use(worker);
  } finally {
    await worker.stop();
  }
}

const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await run();
  return performance.now() - startMs;
};

const aiohttp = (mark: string) => ({ 'f.py': `${AIOHTTP_F}# ${mark}\n`, 'requirements.txt': AIOHTTP });

type Figures = Record<string, number[]>;

/** Measures the first call of a package's first user for each way to install, then cold starts of the same function. */
async function firstCalls(tool: string, cache: string, into: Figures): Promise<void> {
  const add = (name: string, ms: number): void => {
    (into[name] ??= []).push(ms);
  };
  await withWorker(tool, cache, async (worker) => {
    const upload = await timed(() => worker.install('first', aiohttp(''), 'lazy'));
    const call = await timed(() => worker.call('first', '{}'));
    add('lazy: upload and first call', upload + call);
  });
  await withWorker(tool, cache, async (worker) => {
    add('wait: upload', await timed(() => worker.install('first', aiohttp(''), 'wait')));
    add('wait: first call', await timed(() => worker.call('first', '{}')));
    for (let i = 0; i < 5; i++) {
      await worker.install(`again${i}`, aiohttp(String(i)), 'wait');
      add('cold start, packages installed', await timed(() => worker.call(`again${i}`, '{}')));
    }
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, tools: { type: 'string', default: TOOLS.join(',') } },
  });
  const rounds = Number(values.rounds);
  for (const tool of values.tools.split(',')) {
    const figures: Figures = {};
    for (let round = 0; round < rounds; round++) {
      await firstCalls(tool, '', figures);
      await withWorker(tool, 'popularity', async (worker) => {
        const deploy = (line: string, index: number): Promise<void> => {
          const files = { 'f.py': 'def f(event):\n    return 1\n', 'requirements.txt': line.replaceAll(' ', '\n') };
          return worker.install(`many${index}`, files, 'wait');
        };
        const ms = await timed(() => Promise.all(MANY.map(deploy)));
        (figures['20 functions, 60 pins: deployed'] ??= []).push(ms);
      });
    }
    for (const [name, samples] of Object.entries(figures)) {
      const [median, most] = [quantile(samples, 0.5), Math.max(...samples)];
      console.log(
        `${tool.padEnd(4)} ${name.padEnd(34)} ${median.toFixed(0).padStart(6)} ms, at most ${most.toFixed(0)}`,
      );
    }
  }
}

void main();
