// Alerts that are open, with what they rest on.

import { card, h, replace } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { link } from '../state.js';
import { chips, note } from './parts.js';

const LISTED_MAX = 200;
const SHORT_MAX = 5;
const SEVERITIES = { column: 'alert_severity', name: 'severity', all: 'filter.all', label: 'bounds.severity' };

const dimensionsOf = (row) => row.grouping_set.split(',').filter((name) => name !== '');

/** Where the page shows the KPI, window and group of an alert. */
function where(row) {
  const dimensions = dimensionsOf(row);
  return link({
    view: 'trend',
    kpi: row.kpi,
    window: row.window_name,
    by: dimensions.join(','),
    group: dimensions.map((name) => row[name]),
  });
}

/** The KPI as the running catalog has it; an alert may outlive its own. */
const kpiOf = (app, row) => app.catalog.kpis.find((kpi) => kpi.name === row.kpi) ?? { name: row.kpi, unit: '' };

const isBound = (row) => row.alert_rule === 'bound' || row.alert_rule === 'burn';

const small = (p) => (p < 0.0001 ? '< 0.0001' : format.value(p));

function headline(app, row) {
  const group = data.groupName(row, dimensionsOf(row));
  return h(
    'a',
    { href: where(row), 'data-key': `alert-${row.alert_name}-${row.window_name}-${row.alert_severity}-${group}` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, '■ '),
    format.words(row.kpi),
    group && ` · ${group}`,
  );
}

/** What has happened, in words. */
function sentence(app, row) {
  const kpi = kpiOf(app, row);
  const value = [format.value(row.value, kpi), format.unit(kpi)].filter((part) => part).join(' ');
  if (isBound(row)) {
    const bound = t(`bounds.${row.alert_side}`, { bound: format.value(row.alert_threshold, kpi) });
    return t(`alerts.${row.alert_rule}`, { value, bound });
  }
  const usual = format.value(row.baseline_value, kpi);
  return t('alerts.changed', { value, usual, side: t(`alerts.${row.alert_side}`) });
}

function facts(app, row) {
  const kpi = kpiOf(app, row);
  const figure = (number) => (number === null ? '–' : format.value(number));
  const [usual, limit] = [format.value(row.baseline_value, kpi), figure(row.alert_threshold)];
  const p = row.alert_p === null ? '–' : small(row.alert_p);
  const statistic = figure(row.alert_statistic);
  // A change is told by its p, the others by their statistic: the limit is that of the one.
  const byP = row.alert_rule === 'drop';
  const list = [
    ['alerts.since', format.time(row.alert_opened_end)],
    ['alerts.until', format.time(row.window_end)],
    ['filter.window', format.words(row.window_name)],
    ['n', format.count(row.n)],
    ['interval', format.interval(row, kpi)],
    ['alerts.rule', t(`alerts.rule.${row.alert_rule}`)],
  ];
  if (!isBound(row)) {
    list.push(
      ['alerts.baseline', t('alerts.of', { value: usual, n: format.count(row.baseline_n) })],
      ['alerts.p', byP ? t('alerts.most', { value: p, limit }) : p],
      ['alerts.statistic', byP ? statistic : t('alerts.limit', { value: statistic, limit })],
      ['alerts.groups', format.count(row.alert_groups)],
    );
  }
  return h(
    'dl',
    { class: 'evidence-list' },
    list.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
  );
}

const severity = (row) => h('span', { class: 'severity' }, row.alert_severity);

/** Alerts in a few words, for the overview. */
export function shortList(app, all) {
  if (all.length === 0) return h('p', { class: 'calm' }, h('span', { 'aria-hidden': 'true' }, '● '), t('alerts.none'));
  const item = (row) =>
    h(
      'li',
      { class: `violation ${row.alert_severity}` },
      headline(app, row),
      h('span', { class: 'evidence' }, `${sentence(app, row)} · n ${format.count(row.n)}`),
    );
  const rest = all.length - SHORT_MAX;
  return [
    h('ul', { class: 'violations' }, all.slice(0, SHORT_MAX).map(item)),
    rest > 0 && h('p', {}, h('a', { href: '#/alerts' }, t('bounds.more', { n: format.count(rest) }))),
  ];
}

export function create(app) {
  const chips = h('div');
  const said = h('p', { class: 'unseen', role: 'status' });
  const list = h('div');
  const node = h('div', { class: 'view' }, card(t('alerts.title'), { hint: t('alerts.hint') }, chips, said, list));
  const view = { app, node, chips, said, list, filters: [] };
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

async function refresh(view, state, what) {
  if (!what.alerts && !what.all) return;
  const counts = await data.openAlertCounts();
  replace(view.chips, chips(view.app, SEVERITIES, counts, state.q));
  const told = `${format.count(data.total(counts))} ${t('alerts.open')}`;
  if (view.said.textContent !== told) replace(view.said, told);
  const found = await data.openAlerts(view.app.catalog.dimensions, state.q, LISTED_MAX);
  if (found === view.found && !what.all) return;
  view.found = found;
  replace(view.list, found.length === 0 ? shortList(view.app, []) : items(view.app, found, counts, state.q));
}

function items(app, found, counts, wanted) {
  const item = (row) =>
    h(
      'li',
      { class: `alert ${row.alert_severity}` },
      h('h3', {}, headline(app, row), ' ', severity(row)),
      h('p', { class: 'what' }, sentence(app, row)),
      facts(app, row),
    );
  const all = data.total(counts.filter((row) => !wanted || row.alert_severity === wanted));
  return [
    h('ul', { class: 'alerts' }, found.map(item)),
    all > found.length && note(t('alerts.shown', { shown: format.count(found.length), all: format.count(all) })),
  ];
}
