/** The worker's numbers, zygotes, memory and settings. */
import { byId, duration, element, fillTable, megabytes, milliseconds, number, setText, sync } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
/** Points of the chart, one per second. */
const POINTS = 60;
const rates = Array(POINTS).fill(0);

/** Draws the calls of the last minute. */
function line() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${POINTS} 20`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, i) => `${i},${(19 - (rate / most) * 18).toFixed(1)}`);
  const drawn = document.createElementNS(SVG, 'polyline');
  drawn.setAttribute('points', points.join(' '));
  svg.append(drawn);
  return svg;
}

export function showNow({ version, upSec, perSecond, instances, usedMb, poolMb }) {
  setText(byId('about'), `version ${version}, up ${duration(upSec)}`);
  rates.push(perSecond);
  rates.shift();
  const { busy, idle, paused, starting, queued } = instances;
  const tiles = [
    ['Calls per second', number(perSecond)],
    ['Waiting calls', number(queued)],
    ['Instances', number(busy + idle + paused + starting)],
    ['of them busy', number(busy)],
    ['paused', number(paused)],
    [`Memory of ${megabytes(poolMb)}`, megabytes(usedMb)],
  ];
  const make = ([name]) => element('div', {}, element('dt', { text: name }), element('dd', {}));
  sync(
    byId('now'),
    tiles,
    ([name]) => name,
    make,
    (tile, [, value]) => setText(tile.children[1], value),
  );
  const first = byId('now').firstElementChild;
  first.querySelector('svg')?.remove();
  first.append(line());
}

const counted = (count, what) => `${number(count)} ${what}${count === 1 ? '' : 's'}`;

const STATES = { creating: 'being made', draining: 'ending' };

function facts({ forks, fromSpares, savedMs, mb, spares, replicas, state }) {
  const spared = fromSpares > 0 ? ` (${number(fromSpares)} by spares)` : '';
  return [
    `${counted(forks, 'fork')}${spared}`,
    `${milliseconds(savedMs)} saved`,
    megabytes(mb),
    ...(spares > 0 ? [`${counted(spares, 'spare')} parked`] : []),
    ...(replicas > 1 ? [`${number(replicas)} processes`] : []),
    ...(state in STATES ? [STATES[state]] : []),
  ];
}

const ROOT = 'Python alone';

function showBranch(list, nodes, all) {
  const make = () =>
    element(
      'li',
      {},
      element('p', { class: 'node' }, element('strong', {}), element('span', { class: 'facts' })),
      element('ul', {}),
    );
  const update = (item, node) => {
    const [head, branch] = item.children;
    const [name, about] = head.children;
    setText(name, node.packages.join(', ') || ROOT);
    item.dataset.state = node.state;
    sync(
      about,
      facts(node),
      (fact) => fact.replace(/[\d.,]+/g, '#'),
      () => element('span', {}),
      setText,
    );
    const below = all.filter(({ parent }) => parent === node.id);
    branch.hidden = below.length === 0;
    showBranch(branch, below, all);
  };
  sync(list, nodes, ({ id }) => id, make, update);
}

/** @param report the answer of /zygotes; null for a worker without zygotes */
export function showZygotes(report) {
  const zygotes = report?.zygotes ?? [];
  const ids = new Set(zygotes.map(({ id }) => id));
  const roots = zygotes.filter(({ parent }) => parent === null || !ids.has(parent));
  showBranch(byId('zygote-tree'), roots, zygotes);
  const saved = zygotes.reduce((total, { savedMs }) => total + savedMs, 0);
  const forks = zygotes.reduce((total, node) => total + node.forks, 0);
  const { usedMb, limitMb } = report?.memory ?? { usedMb: 0, limitMb: 0 };
  const of = limitMb > 0 ? ` of at most ${megabytes(limitMb)}` : '';
  const mode = report === null || report.mode === '' ? '' : `features.import_cache is ${report.mode}: `;
  const about = `${counted(zygotes.length, 'zygote')} with ${megabytes(usedMb)}${of}; ${counted(forks, 'fork')} saved ${milliseconds(saved)} of imports.`;
  setText(byId('zygotes-about'), zygotes.length === 0 ? 'There are no zygotes.' : `${mode}${about}`);
}

const TIERS = {
  instance: 'instances that run or are idle',
  paused: 'paused instances',
  spare: 'spares, forked ahead',
  zygote: 'zygotes',
  installer: 'installers of packages',
};

let poolMb = 0;

export function setPool(mb) {
  poolMb = mb;
}

export function showMemory(tiers) {
  const used = tiers.reduce((sum, { mb }) => sum + mb, 0);
  const free = { tier: 'free', mb: Math.max(0, poolMb - used) };
  const parts = [...tiers, free];
  sync(
    byId('memory-bar'),
    parts,
    ({ tier }) => tier,
    ({ tier }) => element('span', { class: `tier-${tier}` }),
    (part, { mb }) => (part.style.flexGrow = String(mb)),
  );
  const named = ({ tier }) =>
    element('span', {}, element('span', { class: `dot tier-${tier}`, 'aria-hidden': 'true' }), TIERS[tier] ?? tier);
  const columns = [
    { title: 'Held by', cell: named },
    { title: 'Memory', number: true, cell: ({ mb }) => megabytes(mb) },
    {
      title: 'Share of the pool',
      number: true,
      cell: ({ mb }) => (poolMb > 0 ? `${number((mb / poolMb) * 100)} %` : '–'),
    },
  ];
  fillTable(byId('memory-table'), 'Memory by tier', columns, parts, ({ tier }) => tier);
}

let settings = [];

export function showSettings(all = settings) {
  settings = all;
  const changed = byId('settings-changed').checked;
  const columns = [
    { title: 'Setting', cell: ({ key }) => element('code', { text: key }) },
    { title: 'Value', cell: ({ value }) => element('code', { text: value === '' ? '""' : value }) },
    { title: 'Default', cell: ({ isDefault }) => (isDefault ? 'yes' : 'no') },
  ];
  const shown = all.filter(({ isDefault }) => !changed || !isDefault);
  fillTable(byId('settings-table'), 'Settings in force', columns, shown, ({ key }) => key);
}
