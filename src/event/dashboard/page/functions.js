/** The table of functions and their cold starts. */
import { byId, element, fillTable, milliseconds, number, percent, setText, time } from './dom.js';

/** Texts for the causes of cold starts. */
const CAUSES = {
  first: 'first call',
  busy: 'others were busy',
  evicted: 'evicted for memory',
  ended: 'the last one had ended',
  code: 'new code',
  once: 'one call each',
  helper: 'the helper had ended',
};
const KINDS = { fresh: 'new process', fork: 'fork', spare: 'parked spare' };
const TIERS = { root: ' of the root zygote', packages: ' of a zygote with packages' };

const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0);

/** Non-breaking spaces keep a number on one line with its unit. */
const TIMES = '\u00a0×\u00a0';

/** Formats causes as `12 first call, 3 others were busy`, most frequent first. */
function reasons(cold) {
  const entries = Object.entries(cold).sort(([, a], [, b]) => b - a);
  return entries.map(([cause, count]) => `${number(count)}${TIMES}${CAUSES[cause] ?? cause}`).join(', ') || '–';
}

let shown;

/** Shows functions in the chosen scope. Without an argument, shows the previous functions again. */
export function showFunctions(functions = shown) {
  if (functions === undefined) return;
  shown = functions;
  const { perSecond, minute, all, minuteSec } = functions;
  setText(byId('minute-so-far'), minuteSec >= 55 ? '' : `(${minuteSec} s so far)`);
  const isMinute = document.querySelector('input[name=scope]:checked').value === 'minute';
  const columns = [
    { title: 'Function', cell: ({ lambda }) => lambda },
    { title: 'Calls/s', number: true, cell: ({ lambda }) => number(perSecond[lambda] ?? 0) },
    { title: 'Calls', number: true, cell: ({ calls }) => number(calls) },
    { title: 'p50', number: true, cell: ({ p50Ms }) => milliseconds(p50Ms) },
    { title: 'p99', number: true, cell: ({ p99Ms }) => milliseconds(p99Ms) },
    { title: 'Failed', number: true, cell: ({ failed, calls }) => percent(failed, calls) },
    { title: 'Cold', number: true, cell: ({ cold, calls }) => percent(sum(cold), calls) },
    { title: 'Why cold', cell: ({ cold }) => reasons(cold) },
  ];
  const rows = isMinute ? minute : all;
  fillTable(byId('functions-table'), 'Functions', columns, rows, ({ lambda }) => lambda);
  byId('functions-none').hidden = rows.length > 0;
}

export function showStarts(starts) {
  const columns = [
    { title: 'Function', cell: ({ lambda }) => lambda },
    { title: 'Time', cell: ({ atMs }) => time(atMs) },
    { title: 'Why', cell: ({ cause }) => CAUSES[cause] ?? cause },
    { title: 'How', cell: ({ start, tier }) => `${KINDS[start] ?? start}${TIERS[tier] ?? ''}` },
    { title: 'Start', number: true, cell: ({ startMs }) => milliseconds(startMs) },
    { title: 'Import', number: true, cell: ({ importMs }) => milliseconds(importMs) },
    { title: 'Call', cell: ({ requestId }) => element('code', { text: requestId }) },
  ];
  const newest = [...starts].reverse();
  fillTable(
    byId('starts-table'),
    'Recent cold starts',
    columns,
    newest,
    ({ atMs, requestId }) => `${atMs} ${requestId}`,
  );
  byId('starts-none').hidden = starts.length > 0;
}
