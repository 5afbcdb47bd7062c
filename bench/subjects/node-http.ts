import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Subject } from '../subject';
import { Timer } from '../timer';

/** An echo server that uses only Node. It prints its port. */
const SERVER = `const server = require('node:http').createServer((request, response) => request.pipe(response));
server.keepAliveTimeout = 0; // its turns may be far apart
server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;

/** A bare HTTP server on the worker's runtime: the lower bound of each invocation's latency, including its tail. */
export class NodeHttp implements Subject {
  readonly name = 'node http echo';
  readonly about = "HTTP request to the first byte of the answer of Node's own server, which does nothing else";
  private server: ChildProcess | undefined;
  private timer: Timer | undefined;
  private port = 0;

  constructor(private readonly root: string) {}

  async setup(): Promise<void> {
    this.server = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(this.server.stdout ?? this.server, 'data')) as [Buffer];
    this.port = Number(line.toString());
    this.timer = await Timer.start(this.root);
  }

  async run(): Promise<number> {
    if (this.timer === undefined) throw new Error(`${this.name}: not set up`);
    return (await this.timer.post(this.port, '/', '{"n":1}')).ms;
  }

  async teardown(): Promise<void> {
    this.timer?.stop();
    if (this.server?.kill() === true) await once(this.server, 'exit');
  }
}
