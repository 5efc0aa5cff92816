// What became of every record: nothing is lost, and how far behind the topic is.

import { card, h, replace, table } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';
import * as format from '../format.js';

const OUTCOMES = ['accepted', 'duplicate', 'rejected'];

const sum = (partitions, name) => partitions.reduce((total, p) => total + (p.counts[name] ?? 0), 0);

/** polled = accepted + duplicate + rejected, in figures. */
export function conservation(pipeline, more) {
  const parts = Object.fromEntries(
    ['polled', ...OUTCOMES, 'lag'].map((name) => [name, sum(pipeline.partitions, name)]),
  );
  const left = parts.polled - OUTCOMES.reduce((total, name) => total + parts[name], 0);
  const term = (name) =>
    h(
      'span',
      { class: `term ${name}` },
      h('span', { class: 'value' }, format.count(parts[name])),
      h('span', { class: 'name' }, t(`flow.${name}`)),
    );
  const sign = (text) => h('span', { class: 'operator' }, text);
  return [
    h(
      'p',
      { class: 'equation' },
      term('polled'),
      sign(left === 0 ? '=' : '≠'),
      term('accepted'),
      sign('+'),
      term('duplicate'),
      sign('+'),
      term('rejected'),
    ),
    h(
      'p',
      { class: left === 0 ? 'calm' : 'worry' },
      h('span', { 'aria-hidden': 'true' }, left === 0 ? '● ' : '◑ '),
      left === 0 ? t('flow.balanced') : t('flow.left', { n: format.count(left) }),
    ),
    h(
      'p',
      { class: 'hint' },
      t('flow.behind', { n: format.count(parts.lag) }),
      ' ',
      more && h('a', { href: more }, t('flow.more')),
    ),
  ];
}

export function create(app) {
  const equation = h('div');
  const partitions = h('div');
  const state = h('div');
  const rejects = h('div');
  const node = h(
    'div',
    { class: 'view' },
    card(t('flow.title'), { hint: t('flow.hint') }, equation),
    h(
      'div',
      { class: 'columns' },
      h('div', { class: 'stack' }, card(t('flow.partitions'), {}, partitions), card(t('flow.rejects'), {}, rejects)),
      card(t('flow.state'), {}, state),
    ),
  );
  const view = { app, node, equation, partitions, state, rejects, filters: [] };
  view.refresh = () => refresh(view);
  return view;
}

async function refresh(view) {
  const pipeline = await data.pipeline();
  replace(view.equation, conservation(pipeline));
  const number = (name) => ({ title: t(`flow.${name}`), number: true, cell: (p) => format.count(p.counts[name] ?? 0) });
  replace(
    view.partitions,
    table(
      t('flow.partitions'),
      [
        { title: t('flow.partition'), cell: (p) => `${p.topic} / ${p.partition}` },
        ...['polled', ...OUTCOMES, 'lag'].map(number),
      ],
      pipeline.partitions,
    ),
  );
  replace(view.state, facts(pipeline));
  const reasons = Object.entries(pipeline.rejects).toSorted((a, b) => b[1] - a[1]);
  replace(
    view.rejects,
    table(
      t('flow.rejects'),
      [
        {
          title: t('rejects.reason'),
          cell: ([reason]) => h('a', { href: `#/rejects?q=${encodeURIComponent(reason)}` }, reason),
        },
        { title: t('rejects.count'), number: true, cell: ([, n]) => format.count(n) },
      ],
      reasons,
    ),
  );
}

function facts(pipeline) {
  const watermark =
    pipeline.watermark_secs > 0 ? format.time(new Date(pipeline.watermark_secs * 1e3).toISOString()) : '–';
  const list = [
    ['flow.ready', pipeline.ready ? t('yes') : `${t('no')}: ${pipeline.reason ?? ''}`],
    ['flow.publishes', pipeline.complete ? t('yes') : t('no')],
    ['flow.watermark', watermark],
    ['flow.pending', format.count(pipeline.pending_rows)],
    ['flow.paused', pipeline.paused ? t('yes') : t('no')],
    ['flow.rows', format.count(pipeline.kpi_rows)],
    ['flow.restatements', format.count(pipeline.restatements)],
    ['flow.version', format.count(pipeline.scored_version)],
  ];
  return h(
    'dl',
    { class: 'facts' },
    list.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
  );
}
