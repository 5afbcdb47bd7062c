/** Reads the worker's event stream. EventSource is not used, because it cannot send the token. */

/** The connection counts as dead after this time without data, ms. The worker sends data every second. */
const SILENCE_MS = 6000;
const MAX_WAIT_MS = 10_000;

/** Parses the events of a text/event-stream text that ends with an empty line. */
function eventsIn(text) {
  return text.split('\n\n').flatMap((block) => {
    const [, name] = /^event: (.*)$/m.exec(block) ?? [];
    const [, data] = /^data: (.*)$/m.exec(block) ?? [];
    return name === undefined || data === undefined ? [] : [[name, JSON.parse(data)]];
  });
}

/**
 * Keeps a stream open while the page is visible.
 * @param {() => Record<string, string>} headers returns the request headers
 * @param {{ on: (name: string, data) => void, state: (state: string, text: string) => void, refused: () => void }} tell
 * `on` gets each event, `state` gets changes of the connection's state, `refused` is called when the token is missing
 * or wrong
 */
export class Stream {
  constructor(url, headers, tell) {
    Object.assign(this, { url, headers, tell, waitMs: 500, timer: undefined, running: undefined });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.stop('wait', 'paused: this page is hidden');
      else this.start();
    });
  }

  /** Closes the current connection and opens a new one. */
  start() {
    this.stop('wait', 'connecting');
    const running = new AbortController();
    this.running = running;
    this.read(running).catch((thrown) => {
      if (this.running !== running) return;
      this.running = undefined;
      running.abort();
      this.tell.state('bad', `no answer from the worker, trying again (${thrown.message})`);
      this.timer = setTimeout(() => this.start(), this.waitMs);
      this.waitMs = Math.min(this.waitMs * 2, MAX_WAIT_MS);
    });
  }

  stop(state, text) {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = undefined;
    this.tell.state(state, text);
  }

  async read(running) {
    let watch = setTimeout(() => running.abort(), SILENCE_MS);
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => running.abort(), SILENCE_MS);
    };
    try {
      const answer = await fetch(this.url, { headers: this.headers(), cache: 'no-store', signal: running.signal });
      if (answer.status === 401) {
        this.running = undefined;
        this.tell.state('wait', 'waiting for the token');
        this.tell.refused();
        return;
      }
      if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).trim().slice(0, 200)}`);
      this.waitMs = 500;
      this.tell.state('good', 'live');
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error('the worker closed the connection');
        alive();
        text += value;
        const end = text.lastIndexOf('\n\n') + 2;
        if (end < 2) continue;
        for (const [name, data] of eventsIn(text.slice(0, end))) this.tell.on(name, data);
        text = text.slice(end);
      }
    } finally {
      clearTimeout(watch);
    }
  }
}
