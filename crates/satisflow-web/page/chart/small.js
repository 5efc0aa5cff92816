// Charts of the size of a word, and the Pareto chart.

import { s } from '../dom.js';
import { band, domain, linear, path, ticks } from './scale.js';

/** How far most intervals reach: a window of few events at the start would make a flat line of the rest. */
function reach(points) {
  const all = points
    .filter((p) => p.low != null)
    .map((p) => (p.high - p.low) / 2)
    .toSorted((a, b) => a - b);
  return all[Math.floor(all.length * 0.7)] ?? 0;
}

/** A line with its band, for a tile; what it says stands beside it. */
export function spark(points) {
  const [width, height] = [240, 44];
  const picture = s('svg', {
    class: 'spark',
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  const known = points.filter((p) => Number.isFinite(p.y));
  if (known.length < 2) return picture;
  const usual = reach(known);
  const y = linear(domain(known.flatMap((p) => [p.y, p.y - usual, p.y + usual])), [height - 3, 3]);
  const x = linear([points[0].t, points.at(-1).t], [0, width - 1]);
  const bounds = points.map((p) => [x(p.t), p.low == null ? NaN : y(p.low), p.high == null ? NaN : y(p.high)]);
  picture.append(
    s('path', { class: 'band', d: band(bounds) }),
    s('path', { class: 'line', d: path(points.map((p) => [x(p.t), Number.isFinite(p.y) ? y(p.y) : null])) }),
  );
  return picture;
}

/** An interval on a scale that all rows of a table share. */
export function whisker(row, [low, high], middle) {
  const [width, height] = [160, 18];
  const x = linear([low, high], [4, width - 4]);
  const value = Number(row.value);
  const picture = s('svg', {
    class: 'whisker',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    'aria-hidden': 'true',
  });
  if (row.value === null) return picture;
  if (Number.isFinite(middle))
    picture.append(s('line', { class: 'middle', x1: x(middle), x2: x(middle), y1: 0, y2: height }));
  if (row.ci_low !== null) {
    picture.append(
      s('line', { class: 'reach', x1: x(row.ci_low), x2: x(row.ci_high), y1: height / 2, y2: height / 2 }),
    );
  }
  picture.append(s('circle', { class: 'dot', cx: x(value), cy: height / 2, r: 3.5 }));
  return picture;
}

/** Bars with their cumulative share; the vital few stand out. Bars are `{ name, y, share, vital }`. */
export function pareto(bars, { title, format, percent, width }) {
  const height = 300;
  const margin = { top: 14, right: 48, bottom: 62, left: 56 };
  const most = 1.06 * Math.max(...bars.map((bar) => bar.y), 0);
  const y = linear([0, most || 1], [height - margin.bottom, margin.top]);
  const share = linear([0, 1], [height - margin.bottom, margin.top]);
  const slot = (width - margin.left - margin.right) / Math.max(1, bars.length);
  const middle = (at) => margin.left + slot * (at + 0.5);
  const label = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);
  const bottom = height - margin.bottom;
  return s(
    'svg',
    { class: 'chart', role: 'img', 'aria-label': title, width, height, viewBox: `0 0 ${width} ${height}` },
    s(
      'g',
      { class: 'axes' },
      ticks(0, most || 1, 5).map((v) => [
        s('line', { x1: margin.left, x2: width - margin.right, y1: y(v), y2: y(v) }),
        s('text', { x: margin.left - 8, y: y(v) + 4, 'text-anchor': 'end' }, format(v)),
      ]),
      [0, 0.5, 0.8, 1].map((v) => s('text', { x: width - margin.right + 6, y: share(v) + 4 }, percent(v))),
      s('line', { class: 'eighty', x1: margin.left, x2: width - margin.right, y1: share(0.8), y2: share(0.8) }),
    ),
    bars.map((bar, at) => [
      s(
        'rect',
        {
          class: bar.vital ? 'bar vital' : 'bar',
          x: margin.left + slot * (at + 0.12),
          width: slot * 0.76,
          y: y(bar.y),
          height: Math.max(0, bottom - y(bar.y)),
        },
        s('title', {}, `${bar.name}: ${format(bar.y)}, ${percent(bar.share)}`),
      ),
      slot > 16 &&
        s(
          'text',
          { class: 'name', transform: `translate(${middle(at) + 4} ${bottom + 12}) rotate(-32)`, 'text-anchor': 'end' },
          label(bar.name),
        ),
    ]),
    s('path', { class: 'halo', d: path(bars.map((bar, at) => [middle(at), share(bar.share)])) }),
    s('path', { class: 'cumulative', d: path(bars.map((bar, at) => [middle(at), share(bar.share)])) }),
    bars.map((bar, at) => s('circle', { class: 'cumulative-dot', cx: middle(at), cy: share(bar.share), r: 2.5 })),
  );
}
