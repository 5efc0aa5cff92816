// The languages of the page.

import { en } from './text/en.js';
import { zh } from './text/zh.js';
import { kept } from './state.js';

const LANGUAGES = { en, zh };
let now = 'en';

/** Takes the language that was chosen here before, or else the browser's. */
export function begin() {
  const browsers = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
  speak(LANGUAGES[kept.get('language')] ? kept.get('language') : browsers);
}

export function speak(language) {
  now = language;
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
}

export const language = () => now;

/** A text; `{name}` in it stands for a value. */
export function t(key, values = {}) {
  const text = LANGUAGES[now][key] ?? en[key];
  if (text === undefined) throw new Error(`there is no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}
