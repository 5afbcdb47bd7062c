/** Builds and updates the page's elements. All text is set as text nodes, never as markup. */

/**
 * Makes an element with attributes and children.
 * @param {string} name
 * @param {Record<string, string | undefined>} attributes `text` is the element's text; undefined attributes are left
 * out
 * @param {(Node | string)[]} children
 */
export function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Sets a text only when it changes, so that selections and screen readers are not disturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `parent` match `items`, in their order. An item that already has an element keeps it.
 * @param {(item) => string} keyOf identifies an item
 * @param {(item) => HTMLElement} make
 * @param {(node: HTMLElement, item) => void} update
 */
export function sync(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    known.delete(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of known.values()) node.remove();
}

/**
 * Fills a table and creates it on first use. The elements have explicit ARIA roles. On narrow screens CSS lays rows
 * out as cards, and browsers then drop the roles of a table.
 * @param {{ title: string, cell: (item) => string | Node, number?: boolean }[]} columns the first one names the row
 */
export function fillTable(table, caption, columns, items, keyOf) {
  if (table.tBodies.length === 0) {
    table.setAttribute('role', 'table');
    const heads = columns.map(({ title, number }) =>
      element('th', { scope: 'col', role: 'columnheader', class: number ? 'number' : undefined, text: title }),
    );
    table.append(
      element('caption', { class: 'sr', text: caption }),
      element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...heads)),
      element('tbody', { role: 'rowgroup' }),
    );
  }
  table.hidden = items.length === 0;
  const make = () =>
    element(
      'tr',
      { role: 'row' },
      ...columns.map(({ title, number }, i) =>
        element(i === 0 ? 'th' : 'td', {
          role: i === 0 ? 'rowheader' : 'cell',
          scope: i === 0 ? 'row' : undefined,
          class: number ? 'number' : undefined,
          'data-label': title,
        }),
      ),
    );
  const update = (row, item) => {
    columns.forEach(({ cell }, i) => {
      const value = cell(item);
      if (typeof value === 'string') setText(row.cells[i], value);
      else if (!value.isEqualNode(row.cells[i].firstChild)) row.cells[i].replaceChildren(value);
    });
  };
  sync(table.tBodies[0], items, keyOf, make, update);
}

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const SMALL = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });

/** Formats a number with at most one decimal. Numbers below 10 get two significant digits. */
export const number = (value) => (Math.abs(value) < 10 ? SMALL : NUMBER).format(value);

export const milliseconds = (ms) => (ms === null ? '–' : ms >= 10_000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`);
export const megabytes = (mb) => `${number(mb)} MB`;
export const percent = (part, all) => (all === 0 ? '–' : `${number((part / all) * 100)} %`);

export function duration(seconds) {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return '0 s';
  const [[big, size], [small, less] = []] = units.slice(first, first + 2);
  const rest = less === undefined ? 0 : Math.floor((seconds % size) / less);
  return `${Math.floor(seconds / size)} ${big}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}

/** Time of day. The date is added when it is not today. */
export function time(atMs) {
  const at = new Date(atMs);
  const clock = at.toLocaleTimeString('en-GB');
  const isToday = at.toDateString() === new Date().toDateString();
  const text = isToday ? clock : `${at.toLocaleDateString('en-CA')} ${clock}`;
  return element('time', { datetime: at.toISOString(), text });
}
