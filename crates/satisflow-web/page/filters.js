// The filters of the views about KPIs: KPI, window, dimension, group. What is chosen is in the URL.

import { h, replace } from './dom.js';
import { t } from './text.js';
import { words } from './format.js';
import { groupName } from './data.js';
import { isWidened } from './chart/limits.js';

const GROUPS_LISTED_MAX = 1000;

/** The bar; `go` takes what changes. `show` says which filters the view has. */
export function filters(go) {
  const node = h('form', { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() });
  const bar = { node, known: new Map(), key: '' };
  bar.render = (state, catalog, show) => render(bar, go, state, catalog, show);
  bar.groups = (rows, dimensions) => offer(bar, rows, dimensions);
  return bar;
}

function choice(key, label, options, chosen, change) {
  const list = options.map(([value, text]) => h('option', { value, selected: value === chosen }, text));
  return h(
    'label',
    { class: 'field' },
    h('span', {}, label),
    h('select', { 'data-key': `filter-${key}`, onchange: (event) => change(event.target.value) }, list),
  );
}

function render(bar, go, state, catalog, show) {
  bar.node.hidden = show.length === 0;
  if (show.length === 0) return;
  bar.node.setAttribute('aria-label', t('filter.title'));
  const { kpi, window } = state;
  const windows = state.view === 'overview' ? allWindows(catalog) : kpi.windows;
  const parts = {
    kpi: () =>
      choice(
        'kpi',
        t('filter.kpi'),
        catalog.kpis.map((k) => [k.name, words(k.name)]),
        kpi.name,
        (name) => go({ kpi: name }),
      ),
    window: () =>
      choice(
        'window',
        t('filter.window'),
        windows.map((name) => [name, words(name)]),
        window.name,
        (name) => go({ window: name }),
      ),
    by: () => choice('by', t('filter.by'), sets(state), state.by, (by) => go({ by, group: [] })),
    group: () => state.dimensions.length > 0 && group(bar, go, state),
    limits: () =>
      isWidened(kpi) &&
      choice(
        'limits',
        t('control.limits'),
        ['plain', 'laney'].map((name) => [name, t(`control.limits.${name}`)]),
        state.limits ?? 'plain',
        (limits) => go({ limits }),
      ),
    points: () =>
      choice(
        'points',
        t('filter.points'),
        ['60', '240', '1000'].map((n) => [n, t('filter.windows', { n })]),
        state.points ?? '240',
        (points) => go({ points }),
      ),
  };
  replace(
    bar.node,
    show.map((name) => parts[name]()),
  );
}

function sets({ kpi, view }) {
  const offered = kpi.grouping_sets.filter((set) => view !== 'pareto' || set.length > 0);
  return offered.map((set) => [set.join(','), set.map(words).join(' × ') || t('filter.total')]);
}

function allWindows(catalog) {
  return catalog.windows.map((w) => w.name).filter((name) => catalog.kpis.some((k) => k.windows.includes(name)));
}

function group(bar, go, state) {
  const chosen = state.group.join(' / ');
  const take = (event) => {
    const text = event.target.value.trim();
    if (text === '') go({ group: [] });
    else if (bar.known.has(text)) go({ group: bar.known.get(text) });
  };
  const list = h(
    'datalist',
    { id: 'groups' },
    [...bar.known.keys()].map((name) => h('option', { value: name })),
  );
  const clear =
    chosen && h('button', { type: 'button', class: 'quiet', onclick: () => go({ group: [] }) }, t('filter.all'));
  return h(
    'div',
    { class: 'field' },
    h('label', { for: 'group' }, state.dimensions.map(words).join(' / ')),
    h(
      'span',
      { class: 'with-button' },
      h('input', {
        id: 'group',
        'data-key': 'filter-group',
        list: 'groups',
        value: chosen,
        placeholder: t('filter.all'),
        autocomplete: 'off',
        onchange: take,
      }),
      clear,
    ),
    list,
  );
}

/** Takes the groups there are as what can be chosen. */
function offer(bar, rows, dimensions) {
  const named = rows
    .filter((row) => row.value !== null)
    .slice(0, GROUPS_LISTED_MAX)
    .map((row) => [groupName(row, dimensions), dimensions.map((name) => row[name])]);
  bar.known = new Map(named);
  const list = bar.node.querySelector('#groups');
  const key = [...bar.known.keys()].join('\n');
  if (!list || key === list.dataset.of) return;
  list.dataset.of = key;
  replace(
    list,
    [...bar.known.keys()].map((name) => h('option', { value: name })),
  );
}
