import { createLog } from '../../../src/log';

function capture(trace: Parameters<typeof createLog>[0] = {}) {
  const lines: Record<string, unknown>[] = [];
  const stream = {
    write: (line: string) => {
      expect(line.endsWith('\n')).toBe(true);
      lines.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
  return { lines, log: createLog({ ...trace, stream }) };
}

test('a line is one JSON object with an ISO time, without pid and host', () => {
  const { lines, log } = capture();
  log.logger.info({ port: 1 }, 'two\nlines');
  expect(lines).toHaveLength(1);
  expect(Object.keys(lines[0] ?? {}).sort()).toEqual(['level', 'msg', 'port', 'time']);
  expect(lines[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test('the names of parts are on their lines', () => {
  const { lines, log } = capture();
  log.part('http').warn('x');
  expect(lines[0]).toMatchObject({ part: 'http', msg: 'x' });
});

test('a tracer writes debug lines only when its setting is on', () => {
  const { lines, log } = capture({ trace: { evictor: true, memory: false } });
  for (const name of ['evictor', 'memory', 'package'] as const) log.tracer(name).debug('d');
  log.tracer('memory').info('i');
  log.logger.debug('root');
  expect(lines.map((line) => [line['trace'], line['msg']])).toEqual([
    ['evictor', 'd'],
    ['memory', 'i'],
  ]);
});
