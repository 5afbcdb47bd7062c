import { environmentLog } from '../../../../src/compose/warmup/environment';
import { createLog } from '../../../../src/log';

test('calls that the end of the warm-up cuts off are not logged as failures', () => {
  const lines: string[] = [];
  const log = createLog({ stream: { write: (line) => void lines.push(line) } });
  const stopping = new AbortController();
  const own = environmentLog(log, stopping.signal);
  own.warn({}, 'before');
  stopping.abort();
  own.warn({}, 'after');
  environmentLog(log, stopping.signal).warn({}, 'later');
  log.logger.warn({}, 'of the worker');
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['before', 'of the worker']);
});
