// What the page asks the service for: SQL, and little beside.

export const quote = (text) => `'${String(text).replaceAll("'", "''")}'`;
export const ident = (name) => `"${String(name).replaceAll('"', '""')}"`;

/** What the service says is wrong. */
export class Refused extends Error {}

/** Nobody has logged in, or the login is over. */
export class LoggedOut extends Error {}

async function answered(response) {
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    /* no JSON: the text itself */
  }
  const Kind = response.status === 401 ? LoggedOut : Refused;
  throw new Kind(message || `HTTP ${response.status}`);
}

/** The answer to a query: its response, of JSON or as `accept` says. */
export async function ask(query, { accept = 'application/json', signal } = {}) {
  const headers = { 'content-type': 'application/json', accept };
  return answered(await fetch('/sql', { method: 'POST', headers, body: JSON.stringify({ query }), signal }));
}

const last = new Map();
const LAST_MAX = 32;

/** Rows of a query; the very same array as before while nothing has changed. */
export async function rows(query) {
  const text = await (await ask(query)).text();
  const known = last.get(query);
  if (known?.text === text) return known.rows;
  last.delete(query);
  if (last.size >= LAST_MAX) last.delete(last.keys().next().value);
  const entry = { text, rows: JSON.parse(text) };
  last.set(query, entry);
  return entry.rows;
}

async function json(path) {
  return (await answered(await fetch(path))).json();
}

export const catalog = () => json('/api/catalog');
export const pipeline = () => json('/api/pipeline');

/** Who has logged in, where the service has users: scripts never see the cookie that says so. */
export const session = {
  who: () => json('/api/session'),
  async begin(user, password) {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ user, password });
    return (await answered(await fetch('/api/session', { method: 'POST', headers, body }))).json();
  },
  end: async () => answered(await fetch('/api/session', { method: 'DELETE' })),
};

const FIGURES = [
  'kpi',
  'window_start',
  'window_end',
  'revision',
  'value',
  'ci_low',
  'ci_high',
  'se',
  'n',
  'n_eff',
  'numerator',
  'denominator',
  'status',
  'reason',
  'computed_at',
];

function condition(kpis, { window, by, dimensions, group }) {
  const which = kpis.map((k) => `(kpi = ${quote(k.name)} and fingerprint = ${quote(k.fingerprint)})`).join(' or ');
  const values = group.map((value, at) => ` and ${ident(dimensions[at])} = ${quote(value)}`).join('');
  return `(${which || 'false'}) and window_name = ${quote(window.name)} and grouping_set = ${quote(by)}${values}`;
}

/** A query of the newest revision of each window end. The running definition is filtered in the table itself, which
 * reads less than the views do. */
function current(kpis, scope, more = '') {
  const names = [...scope.dimensions.map(ident), ...FIGURES].join(', ');
  const key = ['kpi', ...scope.dimensions.map(ident), 'window_end'].join(', ');
  return (
    `select ${names} from (select ${names}, row_number() over (partition by ${key} order by revision desc) as place ` +
    `from kpis where ${condition(kpis, scope)}${more}) as ranked where place = 1 and reason <> 'withdrawn'`
  );
}

const HOUR = 3600e3;
const CALENDAR = { day: 24, week: 168, month: 744, quarter: 2208, half_year: 4416, year: 8784 };

/** How long a window is, and how far apart its ends are, in ms. */
export function span(window) {
  if (window.length_secs) return { length: window.length_secs * 1e3, step: window.step_secs * 1e3 };
  const length = (CALENDAR[window.calendar] ?? 24) * HOUR;
  return { length: length * (window.last ?? 1), step: length };
}

const after = (end, back) => ` and window_end >= ${quote(new Date(Date.parse(end) - back).toISOString())}`;

/** The newest window end of each KPI of a scope. */
async function newest(kpis, scope) {
  const found = await rows(`select max(window_end) as newest from kpis where ${condition(kpis, scope)}`);
  return found[0]?.newest ?? undefined;
}

/** Rows of several KPIs, as far back as a tile shows, oldest first. */
export async function recent(kpis, scope, points) {
  const end = await newest(kpis, scope);
  if (!end) return [];
  const { length, step } = span(scope.window);
  const back = Math.max(2.2 * length, points * step);
  return rows(`${current(kpis, scope, after(end, back))} order by window_end`);
}

/** The newest rows of one KPI, oldest first. */
export async function series(kpi, scope, points) {
  const found = await rows(`${current([kpi], scope)} order by window_end desc limit ${Number(points)}`);
  return found.toReversed();
}

/** The newest row of each group of a KPI. A group without a row since a window's length holds nothing. */
export async function groups(kpi, scope) {
  const whole = { ...scope, group: [] };
  const end = await newest([kpi], whole);
  if (!end || scope.dimensions.length === 0) return [];
  const back = scope.window.length_secs ? span(scope.window).length : 0;
  const names = scope.dimensions.map(ident).join(', ');
  const more = scope.window.all ? '' : after(end, back);
  return rows(
    `select distinct on (${names}) * from (${current([kpi], whole, more)}) as newest ` +
      `order by ${names}, window_end desc`,
  );
}

/** The open windows, which no one has published yet. */
export async function open(scope) {
  const values = scope.group.map((value, at) => ` and ${ident(scope.dimensions[at])} = ${quote(value)}`).join('');
  return rows(
    `select kpi, value, n, window_end, status from kpi_live where window_name = ${quote(scope.window.name)} ` +
      `and grouping_set = ${quote(scope.by)}${values}`,
  );
}

/** Every revision of the windows of a scope that have more than one. */
export async function restated(kpi, scope, limit) {
  const where = condition([kpi], scope);
  return rows(
    'select window_end, revision, value, n, reason, computed_at, first_value from (select *, ' +
      'first_value(value) over (partition by window_end order by revision) as first_value, ' +
      `row_number() over (partition by window_end order by revision desc) as place from kpis where ${where}) as all_of ` +
      `where place = 1 and revision > 1 order by window_end desc limit ${Number(limit)}`,
  );
}

const EVIDENCE = [
  'alert_name',
  'alert_rule',
  'alert_side',
  'alert_severity',
  'alert_opened_end',
  'kpi',
  'window_name',
  'grouping_set',
  'window_end',
  'value',
  'n',
  'ci_low',
  'ci_high',
  'alert_statistic',
  'alert_threshold',
  'alert_p',
  'alert_groups',
  'baseline_value',
  'baseline_n',
];

/** Alerts that are open, the newest first; of one severity if it is given. */
export async function openAlerts(dimensions, severity, limit) {
  const names = [...dimensions, ...EVIDENCE].map(ident).join(', ');
  const where = severity ? `where alert_severity = ${quote(severity)} ` : '';
  const order = ['kpi', 'window_name', 'grouping_set', ...dimensions].map(ident).join(', ');
  return rows(
    `select ${names} from alerts_open ${where}order by alert_opened_end desc, ${order} limit ${Number(limit)}`,
  );
}

/** Of counts by anything. */
export const total = (counts) => counts.reduce((sum, row) => sum + row.count, 0);

/** How many alerts of each severity are open. */
export const openAlertCounts = () =>
  rows('select alert_severity, count(*) as count from alerts_open group by alert_severity order by alert_severity');

/** What groups there are is text of a row's dimensions. */
export const groupName = (row, dimensions) => dimensions.map((name) => row[name]).join(' / ');
