// Names of tables, columns and functions while a statement is written.

import { h, id, replace } from './dom.js';
import { t } from './text.js';
import { rows } from './data.js';

const OFFERED_MAX = 8;
const KEYWORDS = [
  'select',
  'from',
  'where',
  'group by',
  'order by',
  'limit',
  'join',
  'left join',
  'using',
  'having',
  'count(*)',
  'distinct',
  'case when',
  'between',
  'is null',
  'desc',
  'with',
  'over (partition by',
  'kpi_as_of(',
  'interval',
];

/** What can be named, tables first. */
export async function names() {
  const found = await rows(
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' " +
      'order by table_name, ordinal_position',
  );
  const tables = new Map();
  for (const row of found) {
    if (!tables.has(row.table_name)) tables.set(row.table_name, []);
    tables.get(row.table_name).push({ name: row.column_name, type: row.data_type });
  }
  return tables;
}

/** What goes on with a word: columns of the tables that the statement names come first. */
export function offers(tables, text, word) {
  const wanted = word.toLowerCase();
  if (wanted === '') return [];
  const lower = text.toLowerCase();
  const named = [...tables.keys()].filter((table) => new RegExp(`\\b${table}\\b`).test(lower));
  const columns = (of) =>
    of.flatMap((table) => tables.get(table).map((column) => ({ name: column.name, kind: table })));
  const all = [
    ...[...tables.keys()].map((name) => ({ name, kind: t('sql.table') })),
    ...columns(named.length > 0 ? named : [...tables.keys()]),
    ...KEYWORDS.map((name) => ({ name, kind: 'SQL' })),
  ];
  const seen = new Set([wanted]);
  return all
    .filter(({ name }) => name.toLowerCase().startsWith(wanted) && !seen.has(name) && seen.add(name))
    .slice(0, OFFERED_MAX);
}

/** Completion of a text area: its list, which is filled and chosen from by keys and pointer. */
export function completion(area, tables) {
  const list = h('ul', {
    class: 'offers',
    role: 'listbox',
    id: id('offers'),
    'aria-label': t('sql.offers'),
    hidden: true,
  });
  const state = { area, list, tables, offered: [], at: -1 };
  area.setAttribute('aria-autocomplete', 'list');
  area.setAttribute('aria-controls', list.id);
  area.addEventListener('input', () => offer(state));
  area.addEventListener('blur', () => close(state));
  area.addEventListener('keydown', (event) => key(state, event));
  return list;
}

const wordBefore = (area) => /[\w]*$/.exec(area.value.slice(0, area.selectionStart))[0];

function offer(state) {
  state.offered = offers(state.tables(), state.area.value, wordBefore(state.area));
  state.at = -1;
  show(state);
}

function close(state) {
  state.offered = [];
  show(state);
}

function show({ area, list, offered, at, ...rest }) {
  list.hidden = offered.length === 0;
  replace(
    list,
    offered.map((one, index) =>
      h(
        'li',
        {
          role: 'option',
          id: `${list.id}-${index}`,
          'aria-selected': String(index === at),
          onpointerdown: (event) => {
            event.preventDefault();
            choose({ area, list, offered, ...rest }, index);
          },
        },
        h('span', {}, one.name),
        h('span', { class: 'hint' }, one.kind),
      ),
    ),
  );
  if (at >= 0) area.setAttribute('aria-activedescendant', `${list.id}-${at}`);
  else area.removeAttribute('aria-activedescendant');
}

function choose(state, index) {
  const { area, offered } = state;
  const end = area.selectionStart;
  area.setRangeText(offered[index].name, end - wordBefore(area).length, end, 'end');
  area.dispatchEvent(new Event('change'));
  close(state);
}

function key(state, event) {
  const { offered } = state;
  if (offered.length === 0) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) state.at = (state.at + step + offered.length) % offered.length;
  else if (event.key === 'Escape') close(state);
  else if ((event.key === 'Enter' || event.key === 'Tab') && state.at >= 0 && !event.ctrlKey && !event.metaKey)
    choose(state, state.at);
  else return;
  event.preventDefault();
  if (step) show(state);
}
