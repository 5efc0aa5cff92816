// From numbers to places, and the marks of axes.

/** A linear scale of a domain onto a range. */
export function linear([low, high], [from, to]) {
  const width = high - low || 1;
  return (value) => from + ((value - low) / width) * (to - from);
}

/** About so many round numbers between two. */
export function ticks(low, high, about) {
  const rough = (high - low) / Math.max(1, about) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const first = Math.ceil(low / step) * step;
  const found = [];
  for (let at = first; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/** A domain with air around all of what is drawn. */
export function domain(values, least = 0) {
  const known = values.filter((value) => value !== null && value !== undefined && Number.isFinite(value));
  if (known.length === 0) return [0, 1];
  const low = Math.min(...known);
  const high = Math.max(...known);
  const air = Math.max((high - low) * 0.08, Math.abs(high) * 1e-3, least, 1e-9);
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

const SECOND = 1000;
const STEPS = [
  1,
  5,
  15,
  30,
  60,
  300,
  900,
  1800,
  3600,
  3 * 3600,
  6 * 3600,
  12 * 3600,
  86400,
  2 * 86400,
  7 * 86400,
  30 * 86400,
  91 * 86400,
  365 * 86400,
].map((seconds) => seconds * SECOND);

/** About so many times between two, on the reader's clock. */
export function times(from, to, about) {
  const rough = (to - from) / Math.max(1, about);
  const step = STEPS.find((s) => s >= rough) ?? STEPS.at(-1);
  const zone = new Date(to).getTimezoneOffset() * 60 * SECOND;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return { found, step };
}

/** How a time is written below an axis whose marks are `step` apart. */
export function timeFormat(language, step) {
  const day = 86400 * SECOND;
  if (step >= 28 * day) return new Intl.DateTimeFormat(language, { year: 'numeric', month: 'short' });
  if (step >= day) return new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric' });
  const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Intl.DateTimeFormat(language, step < 60 * SECOND ? { ...clock, second: '2-digit' } : clock);
}

/** A path through points; a missing one breaks it. */
export function path(points) {
  let drawing = false;
  return points
    .map(([x, y]) => {
      if (y === null || !Number.isFinite(y)) {
        drawing = false;
        return '';
      }
      const command = drawing ? 'L' : 'M';
      drawing = true;
      return `${command}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
}

/** The areas between two lines. */
export function band(points) {
  const runs = [[]];
  for (const point of points) {
    if (Number.isFinite(point[1]) && Number.isFinite(point[2])) runs.at(-1).push(point);
    else if (runs.at(-1).length > 0) runs.push([]);
  }
  const area = (run) =>
    `${path(run.map(([x, low]) => [x, low]))}${path(run.map(([x, , high]) => [x, high]).toReversed()).replace(
      'M',
      'L',
    )}Z`;
  return runs
    .filter((run) => run.length > 0)
    .map(area)
    .join('');
}
