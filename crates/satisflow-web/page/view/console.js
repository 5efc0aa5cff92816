// A console of SQL: completion, history, results, export.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';
import { completion, names } from '../complete.js';
import { first } from '../csv.js';
import { kept, link } from '../state.js';

const ROWS_MAX = 500;
const HISTORY_MAX = 30;
const EXAMPLE =
  "select department, value, ci_low, ci_high, n, status\nfrom kpi_latest\nwhere grouping_set = 'department'\norder by value\nlimit 20";

export function create(app) {
  const view = { app, tables: new Map(), filters: [], running: undefined };
  view.area = h('textarea', {
    id: 'statement',
    rows: 7,
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    'data-key': 'statement',
  });
  view.result = h('div', { 'aria-live': 'polite' });
  view.schema = h('div', { class: 'schema' });
  view.history = h('div');
  view.run = h('button', { type: 'button', class: 'primary', onclick: () => execute(view) }, t('sql.run'));
  view.cancel = h('button', { type: 'button', onclick: () => view.running?.abort(), disabled: true }, t('sql.cancel'));
  view.node = h(
    'div',
    { class: 'view' },
    h(
      'div',
      { class: 'columns console' },
      h('div', { class: 'stack' }, editor(view), card(t('sql.result'), {}, view.result)),
      h('div', { class: 'stack' }, card(t('sql.tables'), {}, view.schema), card(t('sql.history'), {}, view.history)),
    ),
  );
  view.area.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    execute(view);
  });
  view.refresh = (state, what) => refresh(view, state, what);
  return view;
}

function editor(view) {
  const save = h('button', { type: 'button', onclick: () => download(view) }, t('sql.csv'));
  return card(
    t('sql.title'),
    { hint: t('sql.hint') },
    h('label', { class: 'unseen', for: 'statement' }, t('sql.statement')),
    view.area,
    completion(view.area, () => view.tables),
    h('p', { class: 'buttons' }, view.run, view.cancel, save, h('span', { class: 'hint' }, t('sql.keys'))),
  );
}

async function refresh(view, state, what) {
  if (!what.all) return;
  if (view.area.value === '' || (state.q && state.q !== view.asked)) view.area.value = state.q ?? EXAMPLE;
  view.asked = state.q;
  showHistory(view);
  view.tables = await names();
  replace(
    view.schema,
    [...view.tables].map(([name, columns]) =>
      h(
        'details',
        {},
        h('summary', { 'data-key': `table-${name}` }, name),
        h(
          'ul',
          {},
          columns.map((column) => h('li', {}, column.name, ' ', h('span', { class: 'hint' }, column.type))),
        ),
      ),
    ),
  );
}

function showHistory(view) {
  const all = kept.get('history') ?? [];
  const item = (query) =>
    h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          class: 'link',
          onclick: () => {
            view.area.value = query;
            view.area.focus();
          },
        },
        query.replace(/\s+/g, ' ').slice(0, 90),
      ),
    );
  replace(
    view.history,
    all.length === 0
      ? h('p', { class: 'note' }, t('sql.history.none'))
      : [
          h('ol', { class: 'history' }, all.map(item)),
          h(
            'button',
            {
              type: 'button',
              class: 'quiet',
              onclick: () => {
                kept.set('history', []);
                showHistory(view);
              },
            },
            t('sql.history.clear'),
          ),
        ],
  );
}

function remember(view, query) {
  const others = (kept.get('history') ?? []).filter((one) => one !== query);
  kept.set('history', [query, ...others].slice(0, HISTORY_MAX));
  view.asked = query;
  history.replaceState(undefined, '', link({ view: 'sql', q: query }));
  showHistory(view);
}

/** Runs one statement at a time; `work` is given its answer as CSV, which keeps every digit. */
async function running(view, work) {
  const query = view.area.value.trim().replace(/;$/, '');
  if (query === '' || view.running) return;
  view.running = new AbortController();
  view.run.disabled = true;
  view.cancel.disabled = false;
  const began = performance.now();
  try {
    remember(view, query);
    await work(await data.ask(query, { accept: 'text/csv', signal: view.running.signal }), began);
  } catch (error) {
    if (error instanceof data.LoggedOut) view.app.loggedOut();
    const text = error.name === 'AbortError' ? t('sql.cancelled') : error.message;
    replace(view.result, h('p', { class: 'error', role: 'alert' }, text));
  } finally {
    view.running = undefined;
    view.run.disabled = false;
    view.cancel.disabled = true;
  }
}

const execute = (view) =>
  running(view, async (response, began) => {
    const found = await first(response, ROWS_MAX);
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    const said = t(found.more ? 'sql.more' : 'sql.rows', { n: format.count(found.rows.length), seconds });
    const numeric = found.heading.map(
      (_, at) =>
        found.rows.length > 0 && found.rows.every((row) => row[at] === '' || /^-?[\d.]+(e-?\d+)?$/i.test(row[at])),
    );
    const columns = found.heading.map((title, at) => ({ title, number: numeric[at], cell: (row) => row[at] }));
    replace(
      view.result,
      h('p', { class: 'hint' }, said),
      table(t('sql.result'), columns, found.rows, { class: 'result' }),
    );
  });

const download = (view) =>
  running(view, async (response) => {
    const url = URL.createObjectURL(await response.blob());
    h('a', { href: url, download: 'satisflow.csv' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    replace(view.result, h('p', { class: 'hint' }, t('sql.saved')));
  });
