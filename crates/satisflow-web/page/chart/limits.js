// Control limits of windows that share no event.

/** Of rows, oldest first, those that share no event, the newest among them. */
export function apart(rows) {
  const chosen = [];
  let until = Infinity;
  for (const row of rows.toReversed()) {
    if (row.value === null || row.denominator === 0) continue;
    if (Date.parse(row.window_end) > until) continue;
    chosen.push(row);
    until = row.window_start ? Date.parse(row.window_start) : Date.parse(row.window_end);
  }
  return chosen.toReversed();
}

const add = (rows, of) => rows.reduce((sum, row) => sum + Number(of(row)), 0);

/** Which chart a KPI has; none for sums. */
export const kind = (kpi) => ({ share: 'p', ratio: 'u', count: 'c', mean: 'x', balance: 'x' })[kpi.form];

/** The spread of a row's value around the middle, were nothing special to happen. */
const SPREAD = {
  p: (row, middle) => Math.sqrt((middle * (1 - middle)) / (row.n_eff ?? row.denominator)),
  u: (row, middle, per) => per * Math.sqrt(middle / per / row.denominator),
  c: (row, middle) => Math.sqrt(middle),
  x: (row) => row.se ?? NaN,
};

/** Between neighbours the mean of the range of two normal values, in standard deviations. */
const D2 = 1.128;

/** Laney's factor: how much more the windows vary than their events explain; limits never get narrower by it. */
function dispersion(rows, spread, middle) {
  const z = rows.map((row) => (Number(row.value) - middle) / spread(row)).filter(Number.isFinite);
  const steps = z.slice(1).map((one, at) => Math.abs(one - z[at]));
  return steps.length === 0 ? 1 : Math.max(1, add(steps, (one) => one) / steps.length / D2);
}

/** Whether a KPI's limits can be Laney's: those of shares and of rates. */
export const isWidened = (kpi) => ['p', 'u'].includes(kind(kpi));

const LEAST = { p: 0, u: 0, c: 0, x: -Infinity };
const MOST = { p: 1, u: Infinity, c: Infinity, x: Infinity };
const RUN = 8;

/** The points of a chart with the limits of each, and what is special about it; `laney` widens the limits. */
export function controlled(rows, kpi, laney = false) {
  const chart = kind(kpi);
  const per = kpi.per ?? 1;
  const chosen = apart(rows);
  const middle =
    (per * add(chosen, (row) => row.numerator)) /
    (chart === 'c' ? chosen.length : add(chosen, (row) => row.denominator));
  const spread = (row) => SPREAD[chart](row, middle, per);
  const factor = laney && isWidened(kpi) ? dispersion(chosen, spread, middle) : 1;
  let side = 0;
  let length = 0;
  return {
    middle,
    factor,
    points: chosen.map((row) => {
      const y = Number(row.value);
      const reach = 3 * factor * spread(row);
      const [lower, upper] = [Math.max(LEAST[chart], middle - reach), Math.min(MOST[chart], middle + reach)];
      const now = Math.sign(y - middle);
      length = now === side ? length + 1 : 1;
      side = now;
      const special = y < lower || y > upper ? 'outside' : length >= RUN && now !== 0 ? 'run' : undefined;
      return { t: Date.parse(row.window_end), y, lower, upper, special, mark: special && 'signal', row };
    }),
  };
}
