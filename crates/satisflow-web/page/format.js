// Numbers and times as readers of a language write them.

import { language } from './text.js';

const cache = new Map();
function numbers(options) {
  const key = language() + JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new Intl.NumberFormat(language(), options));
  return cache.get(key);
}

const NONE = '–';

/** A count. */
export const count = (value) => (value === null || value === undefined ? NONE : numbers({}).format(value));

function digits(value) {
  const size = Math.abs(value);
  if (size >= 1000) return { maximumFractionDigits: 0 };
  if (size >= 10) return { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  if (size >= 1 || size === 0) return { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
}

/** A value of a KPI, or a bound of one. */
export function value(number, kpi) {
  if (number === null || number === undefined || Number.isNaN(Number(number))) return NONE;
  const plain = Number(number);
  if (kpi?.form === 'share')
    return numbers({ style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(plain);
  if (kpi?.form === 'count') return count(plain);
  return numbers(digits(plain)).format(plain);
}

/** A share, in whole percent. */
export const percent = (share) => numbers({ style: 'percent' }).format(share);

/** The difference of two values, with its sign. */
export function change(number, kpi) {
  const sign = number > 0 ? '+' : number < 0 ? '−' : '±';
  return sign + value(Math.abs(number), kpi);
}

export const interval = (row, kpi) =>
  row.ci_low === null || row.ci_low === undefined ? NONE : `${value(row.ci_low, kpi)} – ${value(row.ci_high, kpi)}`;

/** The unit beside a value; a share's is in its percent sign. */
export const unit = (kpi) => (kpi.form === 'share' ? '' : kpi.unit);

const SHORT = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
const LONG = { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };

/** A time of day, with the date if it is not today's. */
export function time(text) {
  if (!text) return NONE;
  const when = new Date(text);
  const today = when.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(language(), today ? SHORT : LONG).format(when);
}

export const words = (name) => name.replaceAll('_', ' ');
