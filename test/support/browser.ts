/**
 * Debian's headless Chromium, driven by the DevTools protocol over a pipe. Messages are JSON and end with a zero byte.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const CHROMIUM = '/usr/bin/chromium';

/** `describe` for tests that need Chromium. Skipped on a machine without it, unless ARGYLE_MUST_WORK=1. */
export const hasBrowser = existsSync(CHROMIUM) || process.env['ARGYLE_MUST_WORK'] === '1';

/** Chromium cannot make its own sandbox in a container. The tests only open their own pages. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--no-first-run',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
];
/** Time limit of one command, ms. */
const COMMAND_MS = 20_000;

interface Message {
  id?: number;
  sessionId?: string;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { message: string };
}

export class Browser {
  private readonly dir = mkdtempSync(join(tmpdir(), 'chromium-'));
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (message: Message) => void>();
  private readonly pages = new Map<string, BrowserPage>();
  private lastId = 0;
  private rest = '';

  constructor() {
    const args = [...FLAGS, `--user-data-dir=${this.dir}`, 'about:blank'];
    const env = { ...process.env, HOME: this.dir };
    // A separate process group, so that the browser's child processes end with it.
    this.child = spawn(CHROMIUM, args, {
      env,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const pipe = this.child.stdio[4] as Readable;
    pipe.setEncoding('utf8');
    pipe.on('data', (text: string) => {
      const messages = (this.rest + text).split('\0');
      this.rest = messages.pop() ?? '';
      for (const message of messages) this.take(JSON.parse(message) as Message);
    });
  }

  /** Sends one command of the protocol. @throws Error with the browser's message */
  async command(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.lastId;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Message>((resolve, reject) => {
      this.waiting.set(id, resolve);
      timer = setTimeout(() => {
        reject(new Error(`${method}: the browser does not answer`));
      }, COMMAND_MS);
      const text = JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) });
      (this.child.stdio[3] as Writable).write(`${text}\0`);
    });
    clearTimeout(timer);
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }

  /** Opens a new tab with its own profile. */
  async open(): Promise<BrowserPage> {
    const { browserContextId } = await this.command('Target.createBrowserContext');
    const { targetId } = await this.command('Target.createTarget', { url: 'about:blank', browserContextId });
    const { sessionId } = await this.command('Target.attachToTarget', { targetId, flatten: true });
    const page = new BrowserPage(this, String(sessionId));
    this.pages.set(String(sessionId), page);
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.command(`${domain}.enable`);
    return page;
  }

  async close(): Promise<void> {
    const ended = this.child.exitCode === null ? once(this.child, 'exit') : Promise.resolve();
    if (this.child.pid !== undefined && this.child.exitCode === null) process.kill(-this.child.pid, 'SIGKILL');
    await ended;
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  private take(message: Message): void {
    const { id, sessionId, method, params = {} } = message;
    if (id !== undefined) {
      this.waiting.get(id)?.(message);
      this.waiting.delete(id);
    } else if (sessionId !== undefined && method !== undefined) this.pages.get(sessionId)?.happened(method, params);
  }
}

export class BrowserPage {
  /** Problems of the page: exceptions, violations of its policy, failed requests, dialogs. */
  readonly problems: string[] = [];

  constructor(
    private readonly browser: Browser,
    private readonly session: string,
  ) {}

  command(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return this.browser.command(method, params, this.session);
  }

  async goto(url: string): Promise<void> {
    const { errorText } = (await this.command('Page.navigate', { url })) as { errorText?: string };
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
  }

  /** Evaluates an expression and awaits its value. @throws Error with the page's exception */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.command('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** @param scale device pixels per CSS pixel */
  async size(width: number, height: number, mobile = false, scale = 1): Promise<void> {
    await this.command('Emulation.setDeviceMetricsOverride', { width, height, mobile, deviceScaleFactor: scale });
  }

  /** Sets user preferences, e.g. `prefers-color-scheme: dark`. */
  async prefer(preferences: Readonly<Record<string, string>>): Promise<void> {
    const features = Object.entries(preferences).map(([name, value]) => ({ name, value }));
    await this.command('Emulation.setEmulatedMedia', { features });
  }

  /** Presses a key: `Tab`, `Enter` or ` `. */
  async press(key: string, text = key === 'Tab' ? '' : key === 'Enter' ? '\r' : key): Promise<void> {
    const code = { Tab: 9, Enter: 13, ' ': 32 }[key];
    const event = { key, code: key === ' ' ? 'Space' : key, windowsVirtualKeyCode: code };
    await this.command('Input.dispatchKeyEvent', { type: text === '' ? 'rawKeyDown' : 'keyDown', ...event, text });
    await this.command('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async type(text: string): Promise<void> {
    await this.command('Input.insertText', { text });
  }

  /** A PNG of the window. */
  async picture(): Promise<Buffer> {
    const { data } = await this.command('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(String(data), 'base64');
  }

  happened(method: string, params: Record<string, unknown>): void {
    if (method === 'Runtime.exceptionThrown' || method === 'Page.javascriptDialogOpening') {
      this.problems.push(`${method} ${JSON.stringify(params)}`);
    }
    if (method === 'Log.entryAdded') {
      const { level, text, url } = params['entry'] as { level: string; text: string; url?: string };
      if (level === 'error') this.problems.push(`${text} ${url ?? ''}`);
    }
  }
}
