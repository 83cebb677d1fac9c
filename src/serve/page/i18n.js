// Words in the language that was chosen here, else in the browser's.

import { pref, setPref } from './prefs.js';

const LANGUAGES = { en: 'en', zh: 'zh-Hans' };
const loaded = new Map();
let language = 'en';

export const currentLanguage = () => language;

function preferred() {
  const chosen = pref('lang', '');
  if (Object.hasOwn(LANGUAGES, chosen)) return chosen;
  return document.documentElement.lang.startsWith('zh') ? 'zh' : 'en';
}

/** Loads the words of a language, by default the preferred one. */
export async function useLanguage(chosen) {
  const next = chosen ?? preferred();
  if (!loaded.has(next)) {
    const response = await fetch(`/page/${next}.json`);
    loaded.set(next, await response.json());
  }
  language = next;
  if (chosen) setPref('lang', chosen);
  document.documentElement.lang = LANGUAGES[next];
}

/** The text of `key` with its `{names}` put in; `key.one` for a `n` of 1, where there is one. */
export function t(key, values = {}) {
  const words = loaded.get(language) ?? {};
  const text = (values.n === 1 && words[`${key}.one`]) || words[key] || key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? number(value) : String(value);
  });
}

/** Whether there is a text of this key. */
export const has = (key) => key in (loaded.get(language) ?? {});

const locale = () => (language === 'zh' ? 'zh-CN' : 'en-GB');

export const number = (value, options) => new Intl.NumberFormat(locale(), options).format(value);

export const percent = (share, digits = 0) => number(share, { style: 'percent', maximumFractionDigits: digits });

/** `¥12.50` of a decimal in text, as the server writes it. */
export const money = (text) => `¥${text}`;

export const dateTime = (text) => new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(text));

/** `3 days ago`. */
export function age(text) {
  const secs = Math.max(0, (Date.now() - new Date(text).getTime()) / 1000);
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' });
  if (secs < 60) return t('age.now');
  if (secs < 3600) return format.format(-Math.round(secs / 60), 'minute');
  if (secs < 86_400) return format.format(-Math.round(secs / 3600), 'hour');
  return format.format(-Math.round(secs / 86_400), 'day');
}

/** Milliseconds in the unit that reads best. */
export function duration(ms) {
  if (ms < 1) return `${number(ms, { maximumFractionDigits: 1 })} ms`;
  if (ms < 1000) return `${number(Math.round(ms))} ms`;
  return `${number(ms / 1000, { maximumFractionDigits: 1 })} s`;
}
