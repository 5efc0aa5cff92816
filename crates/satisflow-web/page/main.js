// The shell: header, routes, languages, colours, live updates.

import { h, replace } from './dom.js';
import * as text from './text.js';
import { t } from './text.js';
import { count } from './format.js';
import * as data from './data.js';
import { filters } from './filters.js';
import { follow, paced } from './live.js';
import { kept, link, parse, resolve } from './state.js';
import * as overview from './view/overview.js';
import * as trend from './view/trend.js';
import * as pareto from './view/pareto.js';
import * as control from './view/control.js';
import * as alerts from './view/alerts.js';
import * as bounds from './view/bounds.js';
import * as rejects from './view/rejects.js';
import * as flow from './view/flow.js';
import * as console from './view/console.js';
import * as login from './view/login.js';

const VIEWS = { overview, alerts, trend, pareto, control, bounds, rejects, pipeline: flow, sql: console };
const WITH_KPI = ['overview', 'trend', 'pareto', 'control'];
const AGAIN_MS = 3000;
const THEMES = ['auto', 'light', 'dark'];

const app = { catalog: undefined, view: undefined, connected: undefined, openAlerts: 0, go };
// Who has logged in, and the login that is asked for.
app.user = undefined;
app.asked = undefined;
const header = document.getElementById('header');
const main = document.getElementById('main');
const bar = filters(go);
app.offer = (rows, dimensions) => bar.groups(rows, dimensions);
const said = h('p', { class: 'error', role: 'alert', hidden: true });
const body = h('div');

const state = () => resolve(parse(location.hash), app.catalog);

/** Shows something else: what changes, of the state in the URL. */
function go(changes) {
  location.hash = link({ ...parse(location.hash), ...changes });
}

function tab(name) {
  const now = parse(location.hash);
  const target =
    WITH_KPI.includes(name) && WITH_KPI.includes(now.view) ? { ...now, view: name, q: undefined } : { view: name };
  return h(
    'a',
    { href: link(target), 'aria-current': now.view === name && 'page', 'data-key': `tab-${name}` },
    t(`nav.${name}`),
    name === 'alerts' && app.openAlerts > 0 && badge(app.openAlerts),
  );
}

/** How many alerts are open: seen in every view. */
const badge = (n) =>
  h(
    'span',
    { class: 'badge' },
    h('span', { class: 'unseen' }, ' '),
    count(n),
    h('span', { class: 'unseen' }, ` ${t('alerts.open')}`),
  );

function showHeader() {
  const theme = kept.get('theme') ?? 'auto';
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  replace(
    header,
    h(
      'a',
      { class: 'brand', href: '#/overview', 'data-key': 'brand' },
      h('img', { src: '/page/icon.svg', alt: '', width: 24, height: 24 }),
      'Satisflow',
    ),
    h('nav', { 'aria-label': t('nav.title') }, Object.keys(VIEWS).map(tab)),
    h(
      'div',
      { class: 'tools' },
      h(
        'span',
        { class: `live ${app.connected ? 'on' : 'off'}`, role: 'status' },
        h('span', { 'aria-hidden': 'true' }, app.connected ? '●' : '○'),
        ' ',
        t(app.connected ? 'live.on' : 'live.off'),
      ),
      h(
        'button',
        {
          type: 'button',
          'data-key': 'language',
          lang: text.language() === 'zh' ? 'en' : 'zh-CN',
          onclick: otherLanguage,
        },
        t('language.other'),
      ),
      h(
        'button',
        { type: 'button', 'data-key': 'theme', title: t('theme.title'), onclick: () => paint(next) },
        t(`theme.${theme}`),
      ),
      app.user &&
        h(
          'button',
          { type: 'button', 'data-key': 'log-out', onclick: logOut },
          t('session.end', { user: app.user }),
        ),
    ),
  );
  // On a phone the tabs are wider than the screen: the chosen one is in the middle.
  const nav = header.querySelector('nav');
  const chosen = nav.querySelector('[aria-current]');
  if (chosen) nav.scrollLeft = chosen.offsetLeft - nav.offsetLeft - (nav.clientWidth - chosen.offsetWidth) / 2;
}

function otherLanguage() {
  const language = text.language() === 'zh' ? 'en' : 'zh';
  kept.set('language', language);
  text.speak(language);
  if (app.asked) {
    location.reload();
    return;
  }
  app.view = undefined;
  show();
}

/** Shows the login until somebody has logged in, one for all that ask for it. */
function loggedIn() {
  app.asked ??= (async () => {
    const form = login.create();
    app.user = undefined;
    replace(main, form.node);
    document.title = `${t('session.title')} · Satisflow`;
    showHeader();
    form.user.focus();
    app.user = (await form.done).user;
    replace(main, bar.node, said, body);
    // What was shown was another's, maybe.
    app.view = undefined;
    app.asked = undefined;
  })();
  return app.asked;
}

app.loggedOut = async () => {
  await loggedIn();
  show();
};

async function logOut() {
  await data.session.end();
  location.reload();
}

function paint(theme) {
  kept.set('theme', theme);
  document.documentElement.dataset.theme = theme;
  showHeader();
}

/** Shows what the URL says. A view stays as it is while only its state changes. */
function show() {
  const now = state();
  const name = VIEWS[now.view] ? now.view : 'overview';
  if (app.view?.name !== name) {
    app.view = { name, ...VIEWS[name].create(app) };
    replace(body, app.view.titled ? undefined : h('h1', { class: 'unseen' }, t(`nav.${name}`)), app.view.node);
    if (app.shown) main.focus({ preventScroll: true });
    app.shown = true;
    scrollTo(0, 0);
  }
  entitle(name);
  document.getElementById('skip').textContent = t('skip');
  showHeader();
  bar.render({ ...now, view: name }, app.catalog, app.view.filters);
  refresh({ all: true });
}

/** The title counts open alerts: the page may be one of many tabs. */
function entitle(name) {
  const open = app.openAlerts > 0 ? `(${count(app.openAlerts)}) ` : '';
  document.title = `${open}${t(`nav.${name}`)} · Satisflow`;
}

async function countAlerts() {
  const open = data.total(await data.openAlertCounts());
  if (open === app.openAlerts) return;
  app.openAlerts = open;
  showHeader();
  entitle(app.view.name);
}

const refresh = paced(async (what) => {
  const view = app.view;
  if (document.hidden && !what.all) return;
  try {
    if (what.alerts || what.all) await countAlerts();
    await view.refresh({ ...state(), view: view.name }, what);
    said.hidden = true;
    body.dataset.shown = `${Number(body.dataset.shown ?? 0) + 1}`;
  } catch (error) {
    if (error instanceof data.LoggedOut) {
      await app.loggedOut();
      return;
    }
    replace(said, t('failed', { message: error.message }));
    said.hidden = false;
  }
});

/** Asks for the catalog until it is there: a service that starts, or starts again, has one soon. */
async function load() {
  for (;;) {
    try {
      app.catalog = await data.catalog();
      app.user = (await data.session.who()).user ?? undefined;
      said.hidden = true;
      return;
    } catch (error) {
      if (error instanceof data.LoggedOut) {
        await loggedIn();
        continue;
      }
      replace(said, t('failed', { message: error.message }));
      said.hidden = false;
      await new Promise((done) => {
        setTimeout(done, AGAIN_MS);
      });
    }
  }
}

async function connected(now) {
  // Another process may have another catalog.
  if (now && app.connected === false) {
    await load();
    show();
  }
  app.connected = now;
  showHeader();
}

async function start() {
  text.begin();
  document.documentElement.dataset.theme = kept.get('theme') ?? 'auto';
  replace(main, bar.node, said, body);
  await load();
  addEventListener('hashchange', show);
  show();
  follow((what) => refresh(what), connected);
}

start();
