// What several views show: statuses, the table of groups, a message.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as format from '../format.js';
import * as data from '../data.js';
import { domain } from '../chart/scale.js';
import { whisker } from '../chart/small.js';

const SIGNS = { ok: '●', insufficient: '◌', stale: '◇', incomplete: '◑', over_limit: '▲', not_representative: '◐', beyond: '■' };

/** A status as sign, word and colour: none of them is needed to tell it. */
export const status = (name) =>
  h(
    'span',
    { class: `status ${name}`, title: t(`status.${name}.long`) },
    h('span', { 'aria-hidden': 'true' }, SIGNS[name] ?? '●'),
    ' ',
    t(`status.${name}`),
  );

/** The interval and the number of events behind a value; counts and sums have no interval. */
export function about(row, kpi) {
  const n = format.count(row.n);
  return row.ci_low === null ? t('tile.n', { n }) : t('tile.interval', { interval: format.interval(row, kpi), n });
}

export const note = (text) => h('p', { class: 'note' }, text);

/** How a value differs from the one before, and whether that is more than noise. */
export function moved(now, before) {
  if (!before || now.value === null || before.value === null) return undefined;
  const by = Number(now.value) - Number(before.value);
  const noise = now.se !== null && before.se !== null ? Math.hypot(now.se, before.se) : undefined;
  const clear = noise === undefined ? undefined : Math.abs(by) > 1.96 * noise;
  return { by, clear };
}

export function changeText(change, kpi) {
  const arrow = change.by > 0 ? '▲' : change.by < 0 ? '▼' : '▬';
  return h(
    'span',
    { class: change.clear === false ? 'change noise' : 'change' },
    h('span', { 'aria-hidden': 'true' }, arrow),
    ' ',
    format.change(change.by, kpi),
    change.clear === false && h('span', { class: 'within' }, ` ${t('tile.noise')}`),
  );
}

const FIRST = 25;

/** The card of a KPI's groups; without a chosen dimension, by the first that it has. */
export function groupsCard(app) {
  const list = groupsTable();
  const box = { node: h('div'), titled: undefined };
  box.refresh = async (state) => {
    const set = state.dimensions.length > 0 ? state.dimensions : state.kpi.grouping_sets.find((one) => one.length > 0);
    const by = set?.map(format.words).join(' / ');
    const title = set ? t('groups.of', { kpi: format.words(state.kpi.name), by }) : t('groups.none.title');
    if (title !== box.titled) {
      box.titled = title;
      replace(box.node, card(title, { hint: state.kpi.description }, set ? list.node : note(t('groups.ungrouped'))));
    }
    if (!set) return;
    const scope = { ...state, by: set.join(','), dimensions: set };
    list.pick = (group) => app.go({ view: 'trend', kpi: state.kpi.name, by: scope.by, group });
    const found = await data.groups(state.kpi, scope);
    list.update(found, scope);
    app.offer(found, set);
  };
  return box;
}

/** The groups of a KPI, sorted, searched, the first of them shown. `pick` is told which one is chosen. */
function groupsTable() {
  const body = h('div');
  const search = h('input', { type: 'search', 'data-key': 'search-groups' });
  const node = h('div', { class: 'groups' }, h('label', { class: 'field' }, h('span', {}), search), body);
  const list = { node, body, search, sort: 'value', down: false, all: false, last: undefined, pick: undefined };
  search.addEventListener('input', () => show(list));
  list.update = (rows, state) => {
    list.last = { rows, state };
    show(list);
  };
  return list;
}

const KEYS = {
  name: (row, state) => data.groupName(row, state.dimensions),
  value: (row) => (row.value === null ? Infinity : Number(row.value)),
  n: (row) => row.n,
};

function sorted(list) {
  const { rows, state } = list.last;
  const wanted = list.search.value.trim().toLowerCase();
  const found = rows.filter((row) => row.n > 0 && data.groupName(row, state.dimensions).toLowerCase().includes(wanted));
  const of = KEYS[list.sort];
  const order = (a, b) => (of(a, state) < of(b, state) ? -1 : of(a, state) > of(b, state) ? 1 : 0);
  return found.toSorted((a, b) => (list.down ? order(b, a) : order(a, b)));
}

function show(list) {
  const { rows, state } = list.last;
  list.node.querySelector('label span').textContent = t('groups.search');
  const found = sorted(list);
  const shown = list.all ? found : found.slice(0, FIRST);
  const caption = t('groups.title', { by: state.dimensions.map(format.words).join(' / ') });
  const rest = found.length - shown.length;
  replace(
    list.body,
    found.length === 0
      ? note(rows.length === 0 ? t('empty') : t('groups.none'))
      : table(caption, columns(list, found), shown),
    h(
      'p',
      { class: 'hint' },
      t('groups.shown', { shown: format.count(shown.length), all: format.count(found.length) }),
      ' ',
      rest > 0 &&
        h(
          'button',
          {
            type: 'button',
            class: 'quiet',
            'data-key': 'all-groups',
            onclick: () => {
              list.all = true;
              show(list);
            },
          },
          t('groups.all'),
        ),
    ),
  );
}

function columns(list, found) {
  const { state } = list.last;
  const { kpi } = state;
  const ends = domain(found.flatMap((row) => [row.ci_low, row.ci_high, Number(row.value)]));
  const whole =
    found.reduce((sum, row) => sum + row.numerator, 0) / found.reduce((sum, row) => sum + row.denominator, 0);
  const middle = ['mean', 'share', 'ratio', 'balance'].includes(kpi.form) ? whole * kpi.per : undefined;
  const by = (name, title, column) => ({
    ...column,
    title,
    sorted: list.sort === name ? (list.down ? 'descending' : 'ascending') : undefined,
    sort: () => {
      list.down = list.sort === name && !list.down;
      list.sort = name;
      show(list);
    },
  });
  const name = (row) => data.groupName(row, state.dimensions);
  const picked = (row) =>
    h(
      'button',
      {
        type: 'button',
        class: 'link',
        'data-key': `group-${name(row)}`,
        onclick: () => list.pick(state.dimensions.map((d) => row[d])),
      },
      name(row),
    );
  return [
    by('name', state.dimensions.map(format.words).join(' / '), { cell: picked }),
    by('value', t('value'), { number: true, cell: (row) => format.value(row.value, kpi) }),
    {
      title: t('interval'),
      cell: (row) =>
        h(
          'span',
          { class: 'interval' },
          whisker(row, ends, middle),
          h('span', { class: 'small' }, format.interval(row, kpi)),
        ),
    },
    by('n', t('n'), { number: true, cell: (row) => format.count(row.n) }),
    { title: t('status'), cell: (row) => status(row.status) },
  ];
}

/** Counts by a column, one of which can be chosen; what is chosen is in the address. */
export function chips(app, { column, name, all, label }, counts, wanted) {
  const chip = (value, text, n) =>
    h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          class: 'chip',
          'aria-pressed': String((value ?? '') === (wanted ?? '')),
          'data-key': `${name}-${value ?? ''}`,
          onclick: () => app.go({ q: value }),
        },
        text,
        ' ',
        h('span', { class: 'count' }, format.count(n)),
      ),
    );
  return h(
    'ul',
    { class: 'chips', 'aria-label': label && t(label) },
    chip(undefined, t(all), data.total(counts)),
    counts.map((row) => chip(row[column], row[column], row.count)),
  );
}
