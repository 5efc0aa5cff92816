// Which groups make up most of a KPI: the vital few.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { pareto } from '../chart/small.js';
import { note } from './parts.js';

const BARS_MAX = 30;
const VITAL = 0.8;

export function create(app) {
  const box = h('div', { class: 'chart-box' });
  const said = h('p', { class: 'readout' });
  const numbers = h('div');
  const node = h(
    'div',
    { class: 'view' },
    card(
      t('pareto.title'),
      { hint: t('pareto.hint') },
      said,
      box,
      h('details', {}, h('summary', {}, t('chart.table')), numbers),
    ),
  );
  const view = { app, node, box, said, numbers, filters: ['kpi', 'window', 'by'] };
  new ResizeObserver(() => draw(view)).observe(box);
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

/** What is counted: the numerator of a ratio, a share, a sum or a count; of means the events. */
const counted = (kpi) => (['ratio', 'share', 'sum', 'count'].includes(kpi.form) ? 'numerator' : 'n');

/** Bars from most to least with cumulative shares; the vital few are the smallest start that reaches 80 %. Equal ones
 * stand in the order of their names. */
export function bars(rows, kpi, dimensions) {
  const of = counted(kpi);
  const named = rows
    .map((row) => ({ name: data.groupName(row, dimensions), y: Number(row[of]) }))
    .filter((bar) => bar.y > 0);
  named.sort((a, b) => b.y - a.y || (a.name < b.name ? -1 : 1));
  const total = named.reduce((sum, bar) => sum + bar.y, 0);
  let sum = 0;
  return named.map((bar) => {
    const vital = sum < VITAL * total;
    sum += bar.y;
    return { ...bar, share: sum / total, vital };
  });
}

async function refresh(view, state, what) {
  if (!what.kpis && !what.all) return;
  const set = state.dimensions.length > 0 ? state.dimensions : undefined;
  const scope = set && { ...state, group: [] };
  const all = scope ? bars(await data.groups(state.kpi, scope), state.kpi, set) : [];
  view.shown = { all, state, set };
  draw(view);
}

/** The bars that fit, and one for the rest. */
function fitting(all) {
  if (all.length <= BARS_MAX) return all;
  const rest = all.slice(BARS_MAX);
  const y = rest.reduce((sum, bar) => sum + bar.y, 0);
  return [...all.slice(0, BARS_MAX), { name: t('pareto.rest', { n: rest.length }), y, share: 1, vital: false }];
}

function draw(view) {
  if (!view.shown || view.box.clientWidth === 0) return;
  const { all, state, set } = view.shown;
  const { kpi } = state;
  const few = all.filter((bar) => bar.vital);
  const amount = (v) => format.count(Math.round(v * 100) / 100);
  const percent = format.percent;
  const what = t(counted(kpi) === 'n' ? 'pareto.events' : 'pareto.numerator', { kpi: format.words(kpi.name) });
  if (all.length === 0) {
    replace(view.box, note(set ? t('empty') : t('groups.ungrouped')));
    replace(view.said);
    replace(view.numbers);
    return;
  }
  replace(
    view.said,
    t('pareto.few', {
      few: few.length,
      all: all.length,
      what,
      names: few
        .slice(0, 5)
        .map((bar) => bar.name)
        .join(t('comma')),
    }),
  );
  replace(
    view.box,
    pareto(fitting(all), { title: t('pareto.label', { what }), format: amount, percent, width: view.box.clientWidth }),
  );
  replace(
    view.numbers,
    table(
      t('pareto.title'),
      [
        { title: set.map(format.words).join(' / '), cell: (bar) => bar.name },
        { title: what, number: true, cell: (bar) => amount(bar.y) },
        { title: t('pareto.share'), number: true, cell: (bar) => percent(bar.share) },
        { title: t('pareto.vital'), cell: (bar) => (bar.vital ? t('yes') : t('no')) },
      ],
      all.slice(0, 200),
    ),
  );
}
