// A chart over time: a line, a band, limits, marks; read by pointer and by keys.

import { h, s, id } from '../dom.js';
import { language } from '../text.js';
import { band, domain, linear, path, ticks, timeFormat, times } from './scale.js';

const MARGIN = { top: 12, right: 16, bottom: 26, left: 56 };

const SHAPES = {
  restated: (x, y, r) => s('path', { class: 'mark restated', d: `M${x} ${y - r}l${r} ${r}l${-r} ${r}l${-r} ${-r}z` }),
  signal: (x, y) => s('rect', { class: 'mark signal', x: x - 4.5, y: y - 4.5, width: 9, height: 9 }),
};

/** A chart; `update` takes `{ points, limits, format, describe, hint }`. A point is `{ t, y, low, high, mark }`, a limit
 * `{ y | of(point), name, kind }`. */
export function timeChart({ height = 280 } = {}) {
  const hintId = id('hint');
  const picture = s('svg', { class: 'chart', role: 'img', tabindex: 0, 'aria-describedby': hintId, height });
  const readout = h('p', { class: 'readout', 'aria-live': 'polite', id: hintId });
  const node = h('div', { class: 'chart-box' }, readout, picture);
  const chart = { node, picture, readout, height, at: undefined, data: undefined };
  new ResizeObserver(() => draw(chart)).observe(node);
  picture.addEventListener('pointermove', (event) => point(chart, nearest(chart, event)));
  picture.addEventListener('pointerleave', () => point(chart, undefined));
  picture.addEventListener('blur', () => point(chart, undefined));
  picture.addEventListener('keydown', (event) => key(chart, event));
  chart.update = (data) => {
    chart.data = data;
    picture.setAttribute('aria-label', data.title);
    draw(chart);
  };
  return chart;
}

function key(chart, event) {
  const end = (chart.data?.points.length ?? 0) - 1;
  const at = chart.at ?? end + 1;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: end }[event.key];
  if (to === undefined || end < 0) return;
  event.preventDefault();
  point(chart, Math.max(0, Math.min(end, to)));
}

function nearest(chart, event) {
  const { points } = chart.data ?? { points: [] };
  if (points.length === 0 || !chart.x) return undefined;
  const x = event.clientX - chart.picture.getBoundingClientRect().left;
  let best = 0;
  points.forEach((p, at) => {
    if (Math.abs(chart.x(p.t) - x) < Math.abs(chart.x(points[best].t) - x)) best = at;
  });
  return best;
}

function point(chart, at) {
  chart.at = at;
  const { data, picture } = chart;
  picture.querySelector('.cursor')?.remove();
  const shown = data?.points[at];
  chart.readout.replaceChildren(shown ? data.describe(shown) : (data?.hint ?? ''));
  if (!shown || !chart.x) return;
  const x = chart.x(shown.t);
  picture.append(
    s(
      'g',
      { class: 'cursor' },
      s('line', { x1: x, x2: x, y1: MARGIN.top, y2: chart.height - MARGIN.bottom }),
      Number.isFinite(shown.y) && s('circle', { cx: x, cy: chart.y(shown.y), r: 4 }),
    ),
  );
}

const levelOf = (limit, p) => (limit.of ? limit.of(p) : limit.y);

function draw(chart) {
  const { picture, data, height } = chart;
  const width = chart.node.clientWidth;
  if (!data || width === 0) return;
  picture.setAttribute('width', width);
  picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const { points, limits = [] } = data;
  if (points.length === 0) {
    picture.replaceChildren();
    chart.x = undefined;
    point(chart, undefined);
    return;
  }
  const levels = limits.flatMap((limit) => points.map((p) => levelOf(limit, p)));
  const values = domain([...points.flatMap((p) => [p.y, p.low, p.high]), ...levels]);
  chart.y = linear(values, [height - MARGIN.bottom, MARGIN.top]);
  chart.x = linear([points[0].t, points.at(-1).t], [MARGIN.left, width - MARGIN.right]);
  picture.replaceChildren(axes(chart, values, width), body(chart, points, limits, width));
  point(chart, chart.at !== undefined && chart.at < points.length ? chart.at : undefined);
}

function axes({ x, y, height, data }, [low, high], width) {
  const { points, format } = data;
  const rows = ticks(low, high, height / 56);
  const { found, step } = times(points[0].t, points.at(-1).t, width / (width < 500 ? 70 : 110));
  const written = timeFormat(language(), step);
  return s(
    'g',
    { class: 'axes', 'aria-hidden': 'true' },
    rows.map((v) => [
      s('line', { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(v), y2: y(v) }),
      s('text', { x: MARGIN.left - 8, y: y(v) + 4, 'text-anchor': 'end' }, format(v)),
    ]),
    found
      .filter((t) => x(t) < width - 24)
      .map((t) => s('text', { x: x(t), y: height - 7, 'text-anchor': 'middle' }, written.format(t))),
  );
}

function body({ x, y }, points, limits, width) {
  const at = (p, value) => [x(p.t), value === null || value === undefined ? null : y(value)];
  const areas = band(points.map((p) => [x(p.t), p.low == null ? NaN : y(p.low), p.high == null ? NaN : y(p.high)]));
  const last = points.at(-1);
  return s(
    'g',
    {},
    s('path', { class: 'band', d: areas }),
    limits.map((limit) => [
      s('path', { class: `limit ${limit.kind}`, d: path(points.map((p) => at(p, levelOf(limit, p)))) }),
      s(
        'text',
        {
          class: `limit-name ${limit.kind}`,
          x: width - MARGIN.right - 2,
          y: y(levelOf(limit, last)) - 5,
          'text-anchor': 'end',
        },
        limit.name,
      ),
    ]),
    s('path', { class: 'line', d: path(points.map((p) => at(p, p.y))) }),
    points.length <= 60 &&
      points
        .filter((p) => Number.isFinite(p.y) && !p.mark)
        .map((p) => s('circle', { class: 'dot', cx: x(p.t), cy: y(p.y), r: 2.2 })),
    points
      .filter((p) => p.mark && Number.isFinite(p.y))
      .map((p) => SHAPES[p.mark](x(p.t), y(p.y), points.length > 120 ? 3.2 : 5)),
  );
}
