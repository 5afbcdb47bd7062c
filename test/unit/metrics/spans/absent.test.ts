/** The script runs in a separate process, because jest loads its own modules in this process. */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

const DIST = resolve(__dirname, '../../../../dist');

/**
 * Files of the SDK in the module cache after a script. prom-client loads the interface package, which has no effect
 * alone.
 */
function loadedBy(script: string): string[] {
  const list =
    'console.log(JSON.stringify(Object.keys(require.cache).filter((f) => /@opentelemetry.(?!api.)/.test(f))))';
  const out = execFileSync(process.execPath, ['-e', `(async () => { ${script}; ${list} })()`], { encoding: 'utf8' });
  return JSON.parse(out) as string[];
}

test('a worker without an endpoint does not load OpenTelemetry', () => {
  const config = "{ argyle: { otlp_endpoint: '', otlp_sample_percent: 100 }, worker_port: '0' }";
  const make = `await require('${DIST}/compose/observe/tracer').makeTracer(${config}, { add() {} })`;
  expect(loadedBy(`require('${DIST}/compose/worker'); ${make}`)).toEqual([]);
});

test('a worker with an endpoint loads it', () => {
  const config = "{ argyle: { otlp_endpoint: 'http://127.0.0.1:9', otlp_sample_percent: 100 }, worker_port: '0' }";
  const make = `await require('${DIST}/compose/observe/tracer').makeTracer(${config}, { add() {} })`;
  expect(loadedBy(make).length).toBeGreaterThan(10);
});
