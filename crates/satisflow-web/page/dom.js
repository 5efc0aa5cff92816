// Elements with texts as texts: nothing that comes from data is ever read as HTML.

const SVG = 'http://www.w3.org/2000/svg';

function apply(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked') node[name] = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** An element of HTML; properties that begin with `on` are listeners. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  fill(node, children);
  apply(node, properties);
  return node;
}

/** An element of SVG. */
export function s(tag, properties = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  apply(node, properties);
  return fill(node, children);
}

/** Puts new children into a node; the control that had the focus has it again, by its `data-key`. */
export function replace(node, ...children) {
  const active = document.activeElement;
  const key = node.contains(active) ? active.dataset.key : undefined;
  node.replaceChildren();
  fill(node, children);
  if (key !== undefined) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

let ids = 0;
/** An id that no other element has. */
export const id = (name) => `${name}-${(ids += 1)}`;

/** A part of a view with its heading. */
export function card(title, properties = {}, ...children) {
  const heading = id('heading');
  const { hint, actions, ...rest } = properties;
  return h(
    'section',
    { ...rest, class: `card ${rest.class ?? ''}`, 'aria-labelledby': heading },
    h('div', { class: 'card-head' }, h('h2', { id: heading }, title), hint && h('p', { class: 'hint' }, hint), actions),
    ...children,
  );
}

/** A table; a column is `{ title, cell(row), number }`, a row's header its first cell. */
export function table(caption, columns, rows, properties = {}) {
  const head = columns.map((c) =>
    h(
      'th',
      { scope: 'col', class: c.number && 'number', 'aria-sort': c.sorted },
      c.sort
        ? h('button', { type: 'button', class: 'sort', onclick: c.sort, 'data-key': `sort-${c.title}` }, c.title)
        : c.title,
    ),
  );
  const line = (row) =>
    h(
      'tr',
      {},
      columns.map((c, at) =>
        h(at === 0 ? 'th' : 'td', { scope: at === 0 && 'row', class: c.number && 'number' }, c.cell(row)),
      ),
    );
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption, 'data-key': `table-${caption}` },
    h(
      'table',
      properties,
      h('caption', { class: 'unseen' }, caption),
      h('thead', {}, h('tr', {}, head)),
      h('tbody', {}, rows.map(line)),
    ),
  );
}
