// The login, where the service has users.

import { card, h, replace } from '../dom.js';
import { t } from '../text.js';
import * as data from '../data.js';

const field = (label, properties) => h('label', { class: 'field' }, h('span', {}, label), h('input', properties));

/** A form, and a promise of who has logged in with it. */
export function create() {
  const user = field(t('session.user'), {
    name: 'user',
    autocomplete: 'username',
    autocapitalize: 'off',
    spellcheck: 'false',
    required: true,
    'data-key': 'user',
  });
  const password = field(t('session.password'), {
    name: 'password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
    'data-key': 'password',
  });
  const said = h('p', { class: 'error', role: 'alert', hidden: true });
  const send = h('button', { type: 'submit', class: 'primary' }, t('session.begin'));
  const view = { user: user.lastChild, password: password.lastChild, said, send };
  view.done = new Promise((done) => {
    const onsubmit = (event) => {
      event.preventDefault();
      begin(view, done);
    };
    const form = h('form', { class: 'login', onsubmit }, user, password, h('p', { class: 'buttons' }, send), said);
    const title = h('h1', { class: 'unseen' }, 'Satisflow');
    view.node = h('div', { class: 'view' }, title, card(t('session.title'), {}, form));
  });
  return view;
}

async function begin(view, done) {
  view.send.disabled = true;
  view.said.hidden = true;
  try {
    done(await data.session.begin(view.user.value, view.password.value));
  } catch (error) {
    replace(view.said, error instanceof data.LoggedOut ? t('session.wrong') : t('failed', { message: error.message }));
    view.said.hidden = false;
    view.password.value = '';
    view.password.focus();
  } finally {
    view.send.disabled = false;
  }
}
