// A control chart: is this more than what chance does?

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { timeChart } from '../chart/time.js';
import { controlled, isWidened, kind } from '../chart/limits.js';
import { note } from './parts.js';

const ROWS_MAX = 2000;

export function create(app) {
  const chart = timeChart({ height: 320 });
  const said = h('p', { class: 'lead' });
  const signals = h('div');
  const node = h(
    'div',
    { class: 'view' },
    card(
      t('control.title'),
      { hint: t('control.hint') },
      said,
      chart.node,
      h(
        'p',
        { class: 'legend' },
        h('span', { class: 'key line' }, t('value')),
        h('span', { class: 'key limits' }, t('control.limits')),
        h('span', { class: 'key signal' }, t('control.signal')),
      ),
    ),
    card(t('control.signals'), { hint: t('control.rules') }, signals),
  );
  const view = { app, node, chart, said, signals, filters: ['kpi', 'window', 'by', 'group', 'limits'] };
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

async function refresh(view, state, what) {
  if (!what.kpis && !what.all) return;
  const { kpi } = state;
  if (state.dimensions.length > 0) view.app.offer(await data.groups(kpi, state), state.dimensions);
  const whole = state.group.length === 0 && kpi.grouping_sets.some((set) => set.length === 0);
  const scope = whole ? { ...state, by: '', dimensions: [], group: [] } : state;
  const chosen = whole || state.group.length === state.dimensions.length;
  const drawn = kind(kpi) !== undefined && !state.window.all && chosen;
  const laney = state.limits === 'laney';
  const found = drawn ? controlled(await data.series(kpi, scope, ROWS_MAX), kpi, laney) : { points: [] };
  show(view, state, found, drawn ? undefined : t(chosen ? 'control.none' : 'trend.choose'));
}

function show(view, state, { points, middle, factor }, why) {
  const { kpi } = state;
  const number = (v) => format.value(v, kpi);
  const special = points.filter((p) => p.special);
  replace(
    view.said,
    why ??
      (points.length === 0
        ? t('empty')
        : t('control.said', {
            chart: t(`control.${kind(kpi)}`),
            kpi: format.words(kpi.name),
            n: points.length,
            middle: number(middle),
            signals: special.length,
          })),
    isWidened(kpi) && factor > 1 && ` ${t('control.widened', { factor: format.value(factor) })}`,
  );
  view.chart.update({
    title: t('control.label', { kpi: format.words(kpi.name), n: points.length }),
    hint: points.length > 0 ? t('chart.hint') : '',
    points,
    limits:
      points.length === 0
        ? []
        : [
            { of: (p) => p.upper, name: t('control.upper'), kind: 'control' },
            { y: middle, name: t('control.middle'), kind: 'middle' },
            { of: (p) => p.lower, name: t('control.lower'), kind: 'control' },
          ],
    format: number,
    describe: (p) =>
      t('control.point', {
        time: format.time(p.row.window_end),
        value: number(p.y),
        lower: number(p.lower),
        upper: number(p.upper),
        special: p.special ? t(`control.${p.special}`) : '',
      }),
  });
  replace(
    view.signals,
    special.length === 0
      ? note(t('control.quiet'))
      : table(
          t('control.signals'),
          [
            { title: t('until'), cell: (p) => format.time(p.row.window_end) },
            { title: t('value'), number: true, cell: (p) => number(p.y) },
            { title: t('control.limits'), number: true, cell: (p) => `${number(p.lower)} – ${number(p.upper)}` },
            { title: t('n'), number: true, cell: (p) => format.count(p.row.n) },
            { title: t('control.why'), cell: (p) => t(`control.${p.special}`) },
          ],
          special.toReversed().slice(0, 100),
        ),
  );
}
