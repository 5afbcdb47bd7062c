/**
 * /dashboard in a real browser, over a real worker. ARGYLE_PICTURES=<directory> writes the pictures of docs/ to that
 * directory.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import express from 'express';
import { dashboardRoute } from '../../../src/event/dashboard/route';
import type { DashboardSources } from '../../../src/event/dashboard/snapshot';
import { listenTcp, type Listener } from '../../../src/event/http/listeners';
import { guarded } from '../../../src/event/server';
import { Browser, hasBrowser, type BrowserPage } from '../../support/browser';
import { describeContract, liveWorker } from '../../support/contract-target';
import { sleep, until } from '../../support/until';

jest.setTimeout(60_000);

const PICTURES = process.env['ARGYLE_PICTURES'];
const MARKUP = '<img src=x onerror="document.title=1">';
const spec = (pin: string): string => `argyle-sample-${pin}`;
const NUMERIC = ['cost==1.0.0', 'numeric==1.0.0'].map(spec);
const FRAME = ['frame==1.0.0', 'text==1.1.0', 'tiny==1.1.0'].map(spec);
const TINY = [spec('tiny==1.1.0')];
const TREE = {
  packages: [],
  children: [
    { packages: NUMERIC, children: [{ packages: FRAME, children: [] }] },
    { packages: TINY, children: [] },
  ],
};
const imports = (pins: readonly string[], code: string) => ({
  'f.py': `${pins.map((pin) => `import ${pin.replace(/==.*/, '').replaceAll('-', '_')}\n`).join('')}${code}`,
  'requirements.txt': `${pins.join('\n')}\n`,
});
const ECHO = 'import time\ndef f(event):\n    time.sleep(0.002)\n    return event\n';
const FUNCTIONS = {
  'resize-image': { ...imports([...NUMERIC, ...FRAME], ECHO), 'ol.yaml': 'limits: { mem_mb: 128 }\n' },
  'send-greeting': imports(TINY, ECHO),
  'word-count': { 'f.py': ECHO },
  checkout: {
    'f.py': `def f(event):\n    print("order", event, "${MARKUP.replaceAll('"', '\\"')}")\n    raise ValueError("no price for 3 of 7 items")\n`,
  },
  'late-report': {
    'f.py': 'import time\ndef f(event):\n    print("collecting", flush=True)\n    time.sleep(20)\n',
    'ol.yaml': 'limits: { runtime_sec: 1 }\ntriggers: { http: [{ method: "*" }] }\n',
  },
};

/** Visible text of an element of the page. */
const textOf = (page: BrowserPage, id: string) =>
  page.evaluate<string>(`document.getElementById(${JSON.stringify(id)})?.innerText ?? ""`);

(hasBrowser ? describe : describe.skip)('the dashboard', () => {
  let browser: Browser;
  beforeAll(() => {
    browser = new Browser();
  });
  afterAll(() => browser.close());

  /** Saves a picture of the page for docs/. */
  async function keep(page: BrowserPage, name: string): Promise<void> {
    const png = await page.picture();
    expect(png.length).toBeGreaterThan(10_000);
    if (PICTURES === undefined) return;
    mkdirSync(PICTURES, { recursive: true });
    writeFileSync(join(PICTURES, `dashboard-${name}.png`), png);
  }

  describeContract('of a worker', () => {
    const worker = liveWorker({
      mirror: true,
      config: {
        features: { import_cache: 'tree' },
        import_cache_tree: TREE,
        mem_pool_mb: 2000,
        argyle: { install: 'wait' },
      },
    });
    let page: BrowserPage;
    const shows = (id: string, text: string | RegExp) =>
      until(`#${id} shows ${String(text)}`, async () => {
        const shown = await textOf(page, id);
        return typeof text === 'string' ? shown.includes(text) : text.test(shown);
      });
    const post = (path: string, event: unknown = {}) => worker.invoke(path, event);

    beforeAll(async () => {
      page = await browser.open();
      await page.size(1100, 960);
      const uploads = Object.entries(FUNCTIONS).map(([name, source]) => worker.upload(name, source));
      for (const { status } of await Promise.all(uploads)) expect(status).toBe(201);
      await page.goto(`${worker.url}/dashboard`);
      await shows('status', 'live');
    });

    test('shows an idle worker at first', async () => {
      await shows('functions', 'No function has been called.');
      await shows('zygote-tree', 'Python alone');
      await shows('memory-table', 'paused instances');
      await shows('settings-table', /import_cache_tree|worker_port/);
      await keep(page, 'idle');
    });

    test('shows functions, the causes of their cold starts, and their zygotes', async () => {
      for (let round = 0; round < 2; round++) {
        await post('resize-image');
        await post('send-greeting');
        await Promise.all(Array.from({ length: 12 }, (_, i) => post('word-count', i)));
        await sleep(500);
      }
      const [calls, end] = [
        ['resize-image', 'send-greeting', 'word-count'],
        Date.now() + (PICTURES === undefined ? 1500 : 8000),
      ];
      while (Date.now() < end) await Promise.all(calls.flatMap((name) => [post(name), post(name)]));
      await shows('functions-table', 'resize-image');
      await shows('functions-table', 'first call');
      await shows('functions-table', 'others were busy');
      await shows('zygote-tree', /argyle-sample-tiny==1\.1\n[\s\S]*fork/);
      await shows('starts-table', /fork of|spare of|process/);
      await keep(page, 'busy');
    });

    test('shows errors with the log of their call, and shows markup as text', async () => {
      expect((await post('checkout', { id: 17 })).status).toBe(500);
      const late = await worker.call(`/run/late-report?q=<img/src=x/onerror=alert(1)>`, { method: 'POST', body: '1' });
      expect(late.status).toBe(502);
      await shows('error-list', 'the function answered 500');
      await shows('error-list', 'TIMEOUT');
      await page.evaluate(
        `document.querySelectorAll('#error-list details').forEach((details) => (details.open = true))`,
      );
      await shows('error-list', MARKUP);
      await shows('error-list', 'ValueError: no price for 3 of 7 items');
      await shows('error-list', 'collecting');
      await shows('error-list', '<img/src=x/onerror=alert(1)>');
      expect(await page.evaluate('document.images.length')).toBe(0);
      await shows('functions-table', '100 %');
      await page.evaluate(`document.getElementById('errors').scrollIntoView({ behavior: 'instant' })`);
      await keep(page, 'errors');
    });

    test('works on a phone with a dark theme, without sideways scrolling', async () => {
      await page.prefer({ 'prefers-color-scheme': 'dark', 'prefers-reduced-motion': 'reduce' });
      await page.size(360, 740, true, 1.5);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
      await page.size(320, 640, true);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
      await page.size(360, 740, true, 1.5);
      const style = (of: string, what: string) =>
        page.evaluate<string>(`getComputedStyle(${of})[${JSON.stringify(what)}]`);
      expect(await style('document.body', 'backgroundColor')).toBe('rgb(20, 23, 26)');
      expect(await style('document.querySelector("#memory-bar span")', 'transitionDuration')).toBe('0s');
      await page.evaluate(`document.getElementById('functions').scrollIntoView({ behavior: 'instant' })`);
      await keep(page, 'phone');
      await page.size(1100, 800);
      await page.prefer({});
    });

    test('works with the keyboard, and shows the focus', async () => {
      await page.goto(`${worker.url}/dashboard`);
      await shows('status', 'live');
      const focus = () =>
        page.evaluate<string>('(document.activeElement.innerText || document.activeElement.value).trim()');
      const seen: string[] = [];
      for (let i = 0; i < 14 && !seen.includes('minute'); i++) {
        await page.press('Tab');
        seen.push(await focus());
      }
      expect(seen.slice(0, 3)).toEqual(['Skip to the content', 'Functions', 'Zygotes']);
      expect(seen).toContain('minute');
      expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
      await page.press('Tab');
      await page.press('Enter');
      expect(await page.evaluate('document.querySelector("#error-list details").open')).toBe(true);
    });

    test('has labels for screen readers', async () => {
      const { nodes } = (await page.command('Accessibility.getFullAXTree')) as {
        nodes: { role?: { value: string }; name?: { value: string } }[];
      };
      const named = (role: string) =>
        nodes.filter((node) => node.role?.value === role).map(({ name }) => name?.value ?? '');
      expect(named('heading')).toEqual(
        expect.arrayContaining(['Argyle worker', 'Functions', 'Zygotes', 'Memory by tier', 'Recent errors', 'Log']),
      );
      expect(named('table')).toEqual(
        expect.arrayContaining(['Functions', 'Memory by tier', 'Recent cold starts', 'Settings in force']),
      );
      expect(named('columnheader')).toEqual(expect.arrayContaining(['p99', 'Why cold']));
      expect(named('rowheader')).toContain('resize-image');
      expect(named('radio').sort()).toEqual([expect.stringContaining('last minute'), 'since start']);
      expect(named('status')).toHaveLength(1);
    });

    test('violated no rule of its content security policy, and contacted no other host', () => {
      expect(page.problems).toEqual([]);
    });

    test("a function's service worker covers only the paths beside its script", async () => {
      const app = `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/javascript"), ("Service-Worker-Allowed", "/")])
    return [b"//"]
`;
      expect((await worker.upload('worker-script', { 'f.py': app })).status).toBe(201);
      const allowed = async (headers: Record<string, string>) =>
        (await worker.call('/run/worker-script/sw.js', { headers })).headers['service-worker-allowed'];
      expect(await allowed({})).toBe('/');
      expect(await allowed({ 'service-worker': 'script' })).toBeUndefined();
    });
  });

  describe('of anything', () => {
    /** Changes with each snapshot. */
    let uptime = 0;
    let taken = 0;
    const hostile = { lambda: MARKUP, requestId: `${MARKUP}2`, atMs: 1 };
    const counted = { lambda: MARKUP, calls: 3, failed: 1, cold: { [MARKUP]: 2 }, durations: [3] };
    const sources: DashboardSources = {
      version: MARKUP,
      settings: [{ key: MARKUP, value: MARKUP, isDefault: false }],
      readings: () => [counted],
      recent: {
        coldStarts: [{ ...hostile, cause: MARKUP, start: MARKUP, tier: MARKUP, startMs: 1, importMs: 1 }],
        failures: [{ ...hostile, sandbox: MARKUP, code: MARKUP, status: 0, message: `${MARKUP}\n${MARKUP}` }],
      },
      instances: () => ({ busy: taken++, idle: 0, paused: 0, starting: 0, queued: 0 }),
      memory: () => ({ usedBytes: uptime++, totalBytes: 2 ** 30, tiers: { [MARKUP]: 2 ** 20 } }),
      zygotes: () => ({
        mode: 'tree',
        memory: { usedMb: 1, limitMb: 0 },
        zygotes: [
          {
            ...{ id: MARKUP, parent: null, packages: [MARKUP], forks: 1, fromSpares: 1, savedMs: 1, mb: 1 },
            ...{ spares: 0, replicas: 1, state: 'ready' },
          },
        ],
      }),
    };
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    let route = dashboardRoute(sources, log);
    const line = (msg: string) => `${JSON.stringify({ time: new Date().toISOString(), stream: 'stdout', msg })}\n`;
    const app = express();
    app.all(/^\/dashboard/, (...request) => route.handle(...request));
    app.get(/^\/logs\//, (_req, res) => res.send(line(MARKUP)));
    let server: Listener;
    let page: BrowserPage;
    beforeAll(async () => {
      server = await listenTcp(app, '127.0.0.1', 0);
      page = await browser.open();
      await page.goto(`http://127.0.0.1:${server.port}/dashboard`);
      await until('it is live', async () => (await textOf(page, 'status')) === 'live');
    });
    afterAll(async () => {
      route.close();
      await server.close(0);
    });

    test('shows any names, messages, logs and settings as text', async () => {
      await page.evaluate(`document.querySelector('#error-list details').open = true`);
      await until('the log is there', async () => (await textOf(page, 'error-list')).includes('stdout'));
      const shown = await textOf(page, 'main');
      // Function and cause, zygote, tier, the error's parts and its log, the cold start's parts, setting and value.
      expect(shown.split(MARKUP).length).toBeGreaterThan(12);
      expect(await page.evaluate('document.images.length')).toBe(0);
      expect(await page.evaluate('document.title')).toBe('Argyle worker');
      expect(page.problems).toEqual([]);
    });

    test('forbids markup from text and inline scripts', async () => {
      const markup = 'try { document.body.innerHTML = "<b>x</b>"; "made" } catch (error) { error.name }';
      expect(await page.evaluate(markup)).toBe('TypeError');
      const script = `(() => {
        const made = document.createElement('button');
        made.setAttribute('onclick', 'document.title = "run"');
        document.body.append(made);
        made.click();
        made.remove();
        return document.title;
      })()`;
      expect(await page.evaluate(script).catch(() => 'refused')).not.toBe('run');
      expect(page.problems.join()).toMatch(/TrustedHTML[^]*TrustedScript/);
    });

    test('stops updates while its tab is hidden, and continues when it is visible', async () => {
      const visible = (is: boolean) =>
        page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${!is} });
          document.dispatchEvent(new Event('visibilitychange'))`);
      await visible(false);
      await until('it rests', async () => (await textOf(page, 'status')).includes('hidden'));
      let before = -1;
      await until('no snapshot is taken any more', async () => {
        before = taken;
        await sleep(1200);
        return taken === before;
      });
      await visible(true);
      await until('it is live', async () => (await textOf(page, 'status')) === 'live');
      expect(taken).toBeGreaterThan(before);
    });

    test('reconnects after a restart of the worker', async () => {
      const { port } = server;
      route.close();
      await server.close(0);
      await until('it tells', async () => (await textOf(page, 'status')).includes('trying again'));
      route = dashboardRoute(sources, log);
      server = await listenTcp(app, '127.0.0.1', port);
      await until('it is live', async () => (await textOf(page, 'status')) === 'live');
    });

    test('asks for a required token, and shows no data before', async () => {
      const token = 'secret-of-the-test';
      const locked = await listenTcp(guarded({ adminToken: token }, app), '127.0.0.1', 0);
      const other = await browser.open();
      await other.goto(`http://127.0.0.1:${locked.port}/dashboard`);
      const shows = (id: string, text: string) =>
        until(`#${id} shows ${text}`, async () => (await textOf(other, id)).includes(text));
      await shows('main', 'This worker asks for its admin token');
      expect(await other.evaluate('document.activeElement.id')).toBe('token');
      expect(await other.evaluate('document.getElementById("live").hidden')).toBe(true);
      await other.type('guessed');
      await other.press('Enter');
      await shows('token-error', 'This is not the token of the worker.');
      await other.type(token);
      await other.press('Enter');
      await shows('status', 'live');
      await other.evaluate(`document.querySelector('#error-list details').open = true`);
      await shows('error-list', 'stdout');
      const kept = '[document.cookie, localStorage.length, sessionStorage.length, document.documentElement.outerHTML]';
      expect(JSON.stringify(await other.evaluate(kept))).not.toContain(token);
      // The browser reports the two expected refusals (401).
      expect(other.problems.filter((problem) => !problem.includes('401'))).toEqual([]);
      await locked.close(0);
    });
  });
});
