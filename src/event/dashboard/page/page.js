/**
 * The dashboard. It holds the token in memory only. Functions serve pages on the same origin, and those pages could
 * read the token from browser storage.
 */
import { byId, setText } from './dom.js';
import { showErrors } from './errors.js';
import { showFunctions, showStarts } from './functions.js';
import { Stream } from './stream.js';
import { setPool, showMemory, showNow, showSettings, showZygotes } from './worker.js';

let token = '';
const headers = () => (token === '' ? {} : { Authorization: `Bearer ${token}` });

const SHOW = {
  now: (now) => {
    setPool(now.poolMb);
    showNow(now);
  },
  functions: showFunctions,
  zygotes: showZygotes,
  memory: showMemory,
  starts: showStarts,
  errors: (failures) => showErrors(failures, headers),
  settings: showSettings,
};

const form = byId('token-form');

const stream = new Stream('dashboard/events', headers, {
  on: (name, data) => {
    byId('live').hidden = false;
    form.hidden = true;
    SHOW[name]?.(data);
  },
  state: (state, text) => {
    byId('status').dataset.state = state;
    setText(byId('status'), text);
  },
  refused: () => {
    byId('live').hidden = true;
    form.hidden = false;
    setText(byId('token-error'), token === '' ? '' : 'This is not the token of the worker.');
    byId('token').focus();
  },
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value.trim();
  byId('token').value = '';
  stream.start();
});

for (const radio of document.querySelectorAll('input[name=scope]')) {
  radio.addEventListener('change', () => showFunctions());
}
byId('settings-changed').addEventListener('change', () => showSettings());

if (!document.hidden) stream.start();
