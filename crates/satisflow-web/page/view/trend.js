// One KPI over time with its interval and its restatements, and its groups.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { timeChart } from '../chart/time.js';
import { about, groupsCard, note, status } from './parts.js';

const RESTATED_MAX = 50;
const TABLE_MAX = 100;

export function create(app) {
  const chart = timeChart({ height: 300 });
  const head = h('div');
  const numbers = h('div');
  const revised = h('div');
  const groups = groupsCard(app);
  const node = h(
    'div',
    { class: 'view' },
    head,
    card(
      t('trend.title'),
      { hint: t('trend.hint') },
      chart.node,
      legend(),
      h('details', {}, h('summary', {}, t('chart.table')), numbers),
    ),
    h('div', { class: 'columns' }, groups.node, card(t('trend.restated'), { hint: t('trend.restated.hint') }, revised)),
  );
  const view = {
    app,
    node,
    titled: true,
    chart,
    head,
    numbers,
    revised,
    groups,
    filters: ['kpi', 'window', 'by', 'group', 'points'],
  };
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

const legend = () =>
  h(
    'p',
    { class: 'legend' },
    h('span', { class: 'key line' }, t('value')),
    h('span', { class: 'key band' }, t('interval')),
    h('span', { class: 'key restated' }, t('trend.mark')),
  );

async function refresh(view, state, what) {
  if (!what.kpis && !what.all) return;
  const { kpi } = state;
  // Without a chosen group, the whole: the groups stand in the table below.
  const whole = state.group.length === 0 && kpi.grouping_sets.some((set) => set.length === 0);
  const scope = whole ? { ...state, by: '', dimensions: [], group: [] } : state;
  const chosen = whole || state.group.length === state.dimensions.length;
  const found = chosen ? await data.series(kpi, scope, state.points ?? 240) : [];
  if (found !== view.found || what.all) show(view, state, found);
  view.found = found;
  replace(
    view.revised,
    chosen ? revisions(await data.restated(kpi, scope, RESTATED_MAX), kpi) : note(t('trend.choose')),
  );
  await view.groups.refresh(state);
}

function show(view, state, found) {
  const { kpi } = state;
  const newest = found.at(-1);
  replace(
    view.head,
    h(
      'div',
      { class: 'title' },
      h(
        'h1',
        {},
        format.words(kpi.name),
        state.group.length > 0 && h('span', { class: 'of' }, ` · ${state.group.join(' / ')}`),
      ),
      h('p', { class: 'hint' }, kpi.description),
      newest &&
        h(
          'p',
          { class: 'figure' },
          h('span', { class: 'value' }, format.value(newest.value, kpi)),
          ' ',
          h('span', { class: 'unit' }, format.unit(kpi)),
          ' ',
          status(newest.status),
          ' ',
          h('span', { class: 'hint' }, about(newest, kpi)),
        ),
    ),
  );
  const points = found.map((row) => ({
    t: Date.parse(row.window_end),
    y: row.value === null ? NaN : row.value,
    low: row.ci_low,
    high: row.ci_high,
    mark: row.revision > 1 ? 'restated' : undefined,
    row,
  }));
  view.chart.update({
    title: t('trend.label', { kpi: format.words(kpi.name), n: points.length }),
    hint: points.length > 0 ? t('chart.hint') : t('empty'),
    points,
    limits: bounds(state),
    format: (v) => format.value(v, kpi),
    describe: ({ row }) => sentence(row, kpi),
  });
  replace(view.numbers, numbersTable(found.toReversed().slice(0, TABLE_MAX), kpi));
}

/** The catalog's bounds of what is drawn. */
function bounds({ kpi, window, by, group }) {
  const set = group.length > 0 ? by : '';
  return kpi.alerts
    .filter((alert) => alert.window === window.name && alert.grouping_set.join(',') === set)
    .map((alert) => ({
      y: Number(alert.bound),
      name: t(`bounds.${alert.side}`, { bound: format.value(alert.bound, kpi) }),
      kind: 'bound',
    }));
}

const sentence = (row, kpi) =>
  t('trend.point', {
    time: format.time(row.window_end),
    value: format.value(row.value, kpi),
    interval: format.interval(row, kpi),
    n: format.count(row.n),
    revision: row.revision > 1 ? t('trend.revision', { revision: row.revision }) : '',
  });

const numbersTable = (rows, kpi) =>
  table(
    t('trend.table'),
    [
      { title: t('until'), cell: (row) => format.time(row.window_end) },
      { title: t('value'), number: true, cell: (row) => format.value(row.value, kpi) },
      { title: t('interval'), number: true, cell: (row) => format.interval(row, kpi) },
      { title: t('n'), number: true, cell: (row) => format.count(row.n) },
      { title: t('revision'), number: true, cell: (row) => format.count(row.revision) },
      { title: t('status'), cell: (row) => status(row.status) },
    ],
    rows,
  );

function revisions(rows, kpi) {
  if (rows.length === 0) return note(t('trend.restated.none'));
  return table(
    t('trend.restated'),
    [
      { title: t('until'), cell: (row) => format.time(row.window_end) },
      { title: t('trend.first'), number: true, cell: (row) => format.value(row.first_value, kpi) },
      { title: t('trend.now'), number: true, cell: (row) => format.value(row.value, kpi) },
      { title: t('revision'), number: true, cell: (row) => format.count(row.revision) },
      { title: t('trend.reason'), cell: (row) => t(`reason.${row.reason}`) },
    ],
    rows,
  );
}
