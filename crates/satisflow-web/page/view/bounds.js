// What is beyond the bounds of the catalog now, with the evidence.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { link } from '../state.js';
import { note } from './parts.js';

const LISTED_MAX = 200;

/** Rows beyond a bound of theirs: the newest final ones, with enough events. */
export async function violations(catalog) {
  const asked = new Map();
  const found = [];
  for (const kpi of catalog.kpis) {
    for (const alert of kpi.alerts) {
      const key = [kpi.name, alert.window, alert.grouping_set].join('\n');
      if (!asked.has(key)) asked.set(key, await newest(catalog, kpi, alert));
      found.push(
        ...asked
          .get(key)
          .filter((row) => beyond(row, alert))
          .map((row) => ({ kpi, alert, row })),
      );
    }
  }
  return found;
}

async function newest(catalog, kpi, alert) {
  const window = catalog.windows.find((w) => w.name === alert.window);
  const dimensions = alert.grouping_set;
  const scope = { window, by: dimensions.join(','), dimensions, group: [] };
  return dimensions.length > 0 ? data.groups(kpi, scope) : data.series(kpi, scope, 1);
}

function beyond(row, alert) {
  if (row.value === null || row.n < alert.n_min) return false;
  const bound = Number(alert.bound);
  return alert.side === 'below' ? row.value < bound : row.value > bound;
}

/** Whether the whole interval is beyond the bound, too. */
function certain({ row, alert }) {
  if (row.ci_low === null) return false;
  return alert.side === 'below' ? row.ci_high < Number(alert.bound) : row.ci_low > Number(alert.bound);
}

const where = ({ kpi, alert, row }) =>
  link({
    view: 'trend',
    kpi: kpi.name,
    window: alert.window,
    by: alert.grouping_set.join(','),
    group: alert.grouping_set.map((d) => row[d]),
  });

/** A short list, for the overview. */
export function violationList(app, all) {
  if (app.catalog.kpis.every((kpi) => kpi.alerts.length === 0)) return note(t('bounds.undefined'));
  if (all.length === 0) return h('p', { class: 'calm' }, h('span', { 'aria-hidden': 'true' }, '● '), t('bounds.none'));
  const item = (one) =>
    h(
      'li',
      { class: `violation ${one.alert.severity}` },
      h(
        'a',
        { href: where(one) },
        h('span', { class: 'sign', 'aria-hidden': 'true' }, '■ '),
        format.words(one.kpi.name),
        one.alert.grouping_set.length > 0 && ` · ${data.groupName(one.row, one.alert.grouping_set)}`,
      ),
      h(
        'span',
        { class: 'evidence' },
        t('bounds.evidence', {
          value: format.value(one.row.value, one.kpi),
          bound: t(`bounds.${one.alert.side}`, { bound: format.value(one.alert.bound, one.kpi) }),
          n: format.count(one.row.n),
        }),
      ),
    );
  return [
    h('ul', { class: 'violations' }, all.slice(0, 8).map(item)),
    all.length > 8 && h('p', {}, h('a', { href: '#/bounds' }, t('bounds.more', { n: all.length - 8 }))),
  ];
}

export function create(app) {
  const list = h('div');
  const defined = h('div');
  const node = h(
    'div',
    { class: 'view' },
    card(t('bounds.title'), { hint: t('bounds.hint') }, list),
    card(t('bounds.defined'), { hint: t('bounds.defined.hint') }, defined),
  );
  return { app, node, filters: [], refresh: (state, what) => refresh(app, list, defined, what) };
}

async function refresh(app, list, defined, what) {
  if (!what.kpis && !what.all) return;
  const all = await violations(app.catalog);
  replace(list, all.length > 0 ? violationTable(all.slice(0, LISTED_MAX)) : violationList(app, all));
  const bounds = app.catalog.kpis.flatMap((kpi) => kpi.alerts.map((alert) => ({ kpi, alert })));
  replace(
    defined,
    bounds.length === 0
      ? note(t('bounds.undefined'))
      : table(
          t('bounds.defined'),
          [
            { title: t('filter.kpi'), cell: ({ kpi }) => format.words(kpi.name) },
            { title: t('filter.window'), cell: ({ alert }) => format.words(alert.window) },
            {
              title: t('filter.by'),
              cell: ({ alert }) => alert.grouping_set.map(format.words).join(' × ') || t('filter.total'),
            },
            {
              title: t('bounds.begins'),
              cell: ({ kpi, alert }) => t(`bounds.${alert.side}`, { bound: format.value(alert.bound, kpi) }),
            },
            { title: t('bounds.ends'), number: true, cell: ({ kpi, alert }) => format.value(alert.clear, kpi) },
            { title: t('bounds.least'), number: true, cell: ({ alert }) => format.count(alert.n_min) },
            { title: t('bounds.severity'), cell: ({ alert }) => alert.severity },
          ],
          bounds,
        ),
  );
}

const violationTable = (all) =>
  table(
    t('bounds.title'),
    [
      { title: t('filter.kpi'), cell: (one) => h('a', { href: where(one) }, format.words(one.kpi.name)) },
      { title: t('bounds.group'), cell: (one) => data.groupName(one.row, one.alert.grouping_set) || t('filter.total') },
      { title: t('value'), number: true, cell: (one) => format.value(one.row.value, one.kpi) },
      {
        title: t('bounds.bound'),
        cell: (one) => t(`bounds.${one.alert.side}`, { bound: format.value(one.alert.bound, one.kpi) }),
      },
      { title: t('interval'), number: true, cell: (one) => format.interval(one.row, one.kpi) },
      { title: t('n'), number: true, cell: (one) => format.count(one.row.n) },
      { title: t('bounds.certain'), cell: (one) => (certain(one) ? t('yes') : t('no')) },
      { title: t('filter.window'), cell: (one) => format.words(one.alert.window) },
      { title: t('until'), cell: (one) => format.time(one.row.window_end) },
    ],
    all,
  );
