import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SkipSubject } from '../subject';
import type { Subject } from '../subject';
import type { LiveWorker } from '../subjects/live-worker';
import type { Way } from '../subjects/tiers';
import { WayWatch } from '../subjects/watch';

/** The only package of test/lambdas/thumbnail. */
export const PILLOW_PINS: readonly string[] = ['pillow==10.4.0'];

/** Draws a photo-like JPEG of 1280×960 pixels. */
const PAINTER = `import base64
import io

from PIL import Image


def f(event):
    size = (1280, 960)
    bands = [Image.effect_mandelbrot(size, box, 60) for box in ((-2, -1, 1, 1), (-1, -1, 0, 0), (0, 0, 1, 1))]
    picture = Image.blend(Image.merge("RGB", bands), Image.effect_noise(size, 40).convert("RGB"), 0.3)
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=85)
    return base64.b64encode(out.getvalue()).decode()
`;

const Answer = z.object({ work_ms: z.number() });

/** Image resizing on a live worker: the request's time without the function's own work, ms. */
export class Thumbnail implements Subject {
  private body = '';
  private readonly watch: WayWatch;

  /** @param way the expected kind of start of each call's sandbox; @param real whether Pillow is available */
  constructor(
    private readonly root: string,
    readonly name: string,
    readonly about: string,
    private readonly worker: LiveWorker,
    private readonly options: { way: Way; real: boolean },
  ) {
    this.watch = new WayWatch(worker, PILLOW_PINS, options.way);
  }

  async setup(): Promise<void> {
    if (!this.options.real) throw new SkipSubject('needs Pillow, and no package index answers');
    await this.worker.start();
    const folder = join(this.root, 'test/lambdas/thumbnail');
    const requirements = await readFile(join(folder, 'requirements.txt'), 'utf8');
    const source = await readFile(join(folder, 'f.py'), 'utf8');
    await this.worker.install('painter', { 'f.py': PAINTER, 'requirements.txt': requirements });
    const picture = await this.worker.call('painter', '{}');
    this.body = JSON.stringify({ image: JSON.parse(picture.text) as string, edge: 128 });
    await this.worker.install(this.function, {
      'f.py': source,
      'requirements.txt': requirements,
      'ol.yaml': `reuse-sandbox: ${this.options.way === 'warm'}\n`,
    });
    await this.watch.settle(() => this.call());
  }

  ready(): Promise<void> {
    return this.watch.ready();
  }

  async run(): Promise<number> {
    const { elapsedMs, text } = await this.watch.checked(() => this.call());
    return elapsedMs - Answer.parse(JSON.parse(text)).work_ms;
  }

  async teardown(): Promise<void> {
    if (this.options.real) await this.worker.stop();
  }

  private call(): Promise<{ elapsedMs: number; text: string }> {
    return this.worker.call(this.function, this.body);
  }

  private get function(): string {
    return this.options.way !== 'warm' ? 'thumbnail-cold' : 'thumbnail-warm';
  }
}
