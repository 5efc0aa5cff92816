// All KPIs of a window as tiles, what is beyond its bound, the groups of one KPI.

import { card, h, replace } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { link } from '../state.js';
import { spark } from '../chart/small.js';
import { about, changeText, groupsCard, moved, status } from './parts.js';
import { shortList } from './alerts.js';
import { violations, violationList } from './bounds.js';
import { conservation } from './flow.js';

const SPARK_POINTS = 60;
const ALERTS_MAX = 100;

export function create(app) {
  const tiles = h('div', { class: 'tiles' });
  const alerts = h('div');
  const bounds = h('div');
  const flow = h('div');
  const groups = groupsCard(app);
  const node = h(
    'div',
    { class: 'view' },
    tiles,
    h(
      'div',
      { class: 'columns' },
      groups.node,
      h(
        'div',
        { class: 'stack' },
        card(t('alerts.title'), {}, alerts),
        card(t('bounds.title'), { hint: t('bounds.hint') }, bounds),
        card(t('flow.title'), { hint: t('flow.hint') }, flow),
      ),
    ),
  );
  const parts = { tiles, alerts, bounds, flow, groups };
  const view = { app, node, ...parts, filters: ['kpi', 'window', 'by', 'group'], rows: [] };
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

async function refresh(view, state, what) {
  const { app } = view;
  const shown = app.catalog.kpis.filter((k) => k.windows.includes(state.window.name) && hasSet(k, state));
  const total = state.group.length > 0 ? state : { ...state, by: '', dimensions: [], group: [] };
  const all = shown.length > 0 && (total === state || shown.some((k) => hasSet(k, total)));
  if (what.kpis || what.all) {
    view.rows = all ? await data.recent(shown, total, SPARK_POINTS) : [];
  }
  const open = all ? await data.open(total) : [];
  replace(
    view.tiles,
    shown.map((kpi) => tile(view, total, kpi, open)),
  );
  if (what.alerts || what.all) {
    replace(view.alerts, shortList(app, await data.openAlerts(app.catalog.dimensions, undefined, ALERTS_MAX)));
  }
  if (what.kpis || what.all) {
    await view.groups.refresh(state);
    replace(view.bounds, violationList(app, await violations(app.catalog)));
  }
  replace(view.flow, conservation(await data.pipeline(), link({ view: 'pipeline' })));
}

const hasSet = (kpi, { by, group }) =>
  kpi.grouping_sets.some((set) => set.join(',') === (group.length > 0 ? by : '')) ||
  (group.length === 0 && kpi.grouping_sets.length > 0);

/** The last row that shares no event with the newest one. */
function before(rows, newest) {
  if (!newest.window_start) return rows.at(-2);
  return rows.findLast((row) => row.window_end <= newest.window_start);
}

function tile(view, scope, kpi, open) {
  const rows = view.rows.filter((row) => row.kpi === kpi.name);
  const newest = rows.at(-1);
  const live = open.find((row) => row.kpi === kpi.name);
  const state = { view: 'trend', kpi: kpi.name, window: scope.window.name, by: scope.by, group: scope.group };
  const points = rows.map((row) => ({
    t: Date.parse(row.window_end),
    y: row.value,
    low: row.ci_low,
    high: row.ci_high,
  }));
  const change = newest && moved(newest, before(rows, newest));
  return h(
    'article',
    { class: 'tile', title: kpi.description },
    h(
      'h2',
      {},
      h('a', { href: link(state), 'data-key': `tile-${kpi.name}` }, format.words(kpi.name)),
      newest && status(newest.status),
    ),
    h(
      'p',
      { class: 'figure' },
      h('span', { class: 'value' }, format.value(newest?.value, kpi)),
      ' ',
      h('span', { class: 'unit' }, format.unit(kpi)),
    ),
    h('p', { class: 'about' }, newest ? about(newest, kpi) : t('empty')),
    h(
      'p',
      { class: 'about' },
      change ? [changeText(change, kpi), ' ', h('span', { class: 'hint' }, t('tile.before'))] : '\u00a0',
    ),
    spark(points),
    h(
      'p',
      { class: 'foot' },
      h(
        'span',
        { class: 'live-figure' },
        live ? t('tile.open', { value: format.value(live.value, kpi), n: format.count(live.n) }) : '',
      ),
      h('span', {}, newest ? t('tile.until', { time: format.time(newest.window_end) }) : ''),
    ),
  );
}
