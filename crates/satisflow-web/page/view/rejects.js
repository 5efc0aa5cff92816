// Records that are no events: why, where, and what they were.

import { card, h, replace } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { chips, note } from './parts.js';

const LISTED_MAX = 100;
const REASONS = { column: 'reason', name: 'reason', all: 'rejects.all' };

export function create(app) {
  const reasons = h('div');
  const list = h('div');
  const node = h(
    'div',
    { class: 'view' },
    card(t('rejects.reasons'), { hint: t('rejects.hint') }, reasons),
    card(t('rejects.newest', { n: LISTED_MAX }), {}, list),
  );
  const view = { app, node, reasons, list, opened: new Set(), filters: [] };
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

async function refresh(view, state, what) {
  if (!what.records && !what.all) return;
  const wanted = state.q;
  const counts = await data.rows(
    'select reason, count(*) as count from rejects group by reason order by count desc, reason',
  );
  replace(view.reasons, chips(view.app, REASONS, counts, wanted));
  const found = await data.rows(
    'select reason, field, message, topic, "partition", "offset", ingest_time, raw, raw_bytes from rejects ' +
      `${wanted ? `where reason = ${data.quote(wanted)} ` : ''}order by ingest_time desc, "partition", "offset" desc limit ${LISTED_MAX}`,
  );
  if (found === view.found && !what.all) return;
  view.found = found;
  replace(
    view.list,
    found.length === 0
      ? note(t('rejects.none'))
      : h(
          'ol',
          { class: 'rejects' },
          found.map((row) => item(view, row)),
        ),
  );
}

function item(view, row) {
  const key = `${row.topic}/${row.partition}/${row.offset}`;
  const details = h(
    'details',
    { open: view.opened.has(key) },
    h(
      'summary',
      { 'data-key': `reject-${key}` },
      h('span', { class: 'reason' }, row.reason),
      ' ',
      h('span', { class: 'message' }, row.message),
      h('span', { class: 'hint' }, ` ${key} · ${format.time(row.ingest_time)}`),
    ),
    raw(row),
  );
  details.addEventListener('toggle', () => (details.open ? view.opened.add(key) : view.opened.delete(key)));
  return h('li', {}, details);
}

/** The record as it came. Bytes that are no text are shown as such. */
function raw(row) {
  if (row.raw === null)
    return note(row.raw_bytes > 0 ? t('rejects.hidden', { n: format.count(row.raw_bytes) }) : t('rejects.empty'));
  const bytes = Uint8Array.from(row.raw.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const cut =
    row.raw_bytes > bytes.length
      ? h('p', { class: 'hint' }, t('rejects.cut', { n: format.count(row.raw_bytes) }))
      : undefined;
  return [
    row.field && h('p', { class: 'hint' }, t('rejects.field', { field: row.field })),
    h('pre', { class: 'raw', tabindex: 0, 'aria-label': t('rejects.raw') }, pretty(new TextDecoder().decode(bytes))),
    cut,
  ];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return text;
  }
}
