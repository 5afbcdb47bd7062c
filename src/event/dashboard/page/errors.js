/** The list of failed calls, each with the log lines of its function. */
import { byId, element, setText, sync, time } from './dom.js';

/** Number of log lines that are searched for those of a call. */
const TAIL = 2000;
/** Number of log lines that are shown when none belongs to the call. */
const AROUND = 20;

const firstLine = (text) => text.trim().split('\n', 1)[0];

/** One line that describes the error. */
function title({ code, status, message }) {
  return code === '' ? `the function answered ${status}` : `${code}: ${firstLine(message)}`;
}

function parse(text) {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

/** Fills in the log of a call. @param whole the worker's error text, which is not shown twice */
async function showLog(pre, whole, { lambda, requestId }, headers) {
  setText(pre, 'reading the log');
  const answer = await fetch(`logs/${encodeURIComponent(lambda)}?tail=${TAIL}`, {
    headers: headers(),
    cache: 'no-store',
  });
  if (!answer.ok) {
    setText(pre, `no log: ${answer.status} ${(await answer.text()).trim()}`);
    return;
  }
  const lines = parse(await answer.text());
  const own = lines.filter(({ request_id: id }) => id === requestId);
  if (own.some(({ stream }) => stream === 'worker')) whole.hidden = true;
  const shown = own.length > 0 ? own : lines.slice(-AROUND);
  const text = shown.map(({ time: at, stream, msg }) => `${at.slice(11, 23)} ${stream.padEnd(6)} ${msg}`).join('\n');
  const note = own.length > 0 ? '' : `no line of this call; the last ${shown.length} of the function:\n`;
  setText(pre, lines.length === 0 ? 'the log is empty' : note + text);
}

function make(failure, headers) {
  const { atMs, lambda, requestId, sandbox, message } = failure;
  const log = element('pre', { tabindex: '0', 'aria-label': `Log of ${lambda}` });
  const whole = element('pre', { tabindex: '0', 'aria-label': 'Error', text: message.trim() });
  if (!message.trim().includes('\n')) whole.hidden = true;
  const details = element(
    'details',
    {},
    element(
      'summary',
      {},
      time(atMs),
      ' ',
      element('strong', { text: lambda }),
      ' ',
      element('span', { class: 'what', text: title(failure) }),
    ),
    element('p', { class: 'quiet', text: `call ${requestId}${sandbox === '' ? '' : `, sandbox ${sandbox}`}` }),
    whole,
    element('h3', { text: 'Log' }),
    log,
  );
  details.addEventListener('toggle', () => {
    if (!details.open) return;
    showLog(log, whole, failure, headers).catch((thrown) => setText(log, `no log: ${thrown.message}`));
  });
  return element('li', {}, details);
}

/** @param headers the headers for requests for logs */
export function showErrors(failures, headers) {
  byId('errors-none').hidden = failures.length > 0;
  const keyOf = ({ atMs, requestId }) => `${atMs} ${requestId}`;
  sync(
    byId('error-list'),
    [...failures].reverse(),
    keyOf,
    (failure) => make(failure, headers),
    () => undefined,
  );
}
