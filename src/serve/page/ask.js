// Asking 1688: what it costs is said first.

import * as api from './api.js';
import { h, icon } from './dom.js';
import { dateTime, has, t } from './i18n.js';

let known = null;
const listeners = new Set();

/** Hears of the account whenever it was read anew. */
export function onQuota(listener) {
  listeners.add(listener);
  if (known) listener(known);
}

/** Reads what is left; null where that cannot be read. */
export async function readQuota() {
  try {
    known = await api.quota();
    for (const listener of listeners) listener(known);
  } catch {
    // What was known stands.
  }
  return known;
}

/** What may still be asked today: `{ left, budget, why }`; `why` says why nothing may. */
export function allowance(quota) {
  if (!quota) return { left: 0, budget: 0, why: 'unknown' };
  const { key, upstreams } = quota;
  const open = upstreams.filter((upstream) => !upstream.open_until);
  let left = open.reduce((sum, upstream) => sum + upstream.left, 0);
  let budget = upstreams.reduce((sum, upstream) => sum + upstream.budget, 0);
  if (upstreams.length === 0) return { left: 0, budget: 0, why: 'no_upstream' };
  if (key && !key.rights.spend) return { left: 0, budget, why: 'key_may_not_spend' };
  if (key && key.daily_budget !== null) {
    left = Math.min(left, Math.max(0, key.daily_budget - key.calls_today));
    budget = Math.min(budget, key.daily_budget);
  }
  if (open.length === 0) return { left, budget, why: 'breaker_open', until: upstreams[0].open_until };
  if (left === 0) return { left, budget, why: 'budget_spent', until: upstreams[0].resets_at };
  return { left, budget, why: null };
}

/** How many upstreams may be asked now. */
export const openUpstreams = () => known?.upstreams.filter((upstream) => !upstream.open_until).length ?? 0;

/** Why nothing was asked, or may be. */
export function reasonWords(why, message, until) {
  const words = has(`reason.${why}`) ? t(`reason.${why}`) : (message ?? t('reason.unknown'));
  return until ? `${words} ${t('reason.until', { time: dateTime(until) })}` : words;
}

/**
 * What asking costs, and the button that does it. `calls` is the most it may cost; `isMain` where it is the next thing to do.
 * `options` stand below the text; `refusal` says what is to be chosen before anything is asked.
 */
export function askBox({ calls, title, text, button, isMain, level = 'h3', options, refusal, key = 'a', onask }) {
  const { left, budget, why, until } = allowance(known);
  const cost = t('ask.cost', { n: calls });
  const account = t('ask.left', { left, budget });
  const go = h(
    'button',
    { type: 'button', class: isMain ? 'primary' : '', 'data-key': key, disabled: why !== null || left < calls || Boolean(refusal), onclick: () => ((go.disabled = true), onask()) },
    icon('asked'),
    h('span', {}, button ?? t('ask.button')),
    h('small', {}, cost),
  );
  const refused = why ? reasonWords(why, null, until) : left < calls ? t('ask.short') : refusal;
  return h(
    'section',
    { class: `ask ${isMain ? 'main' : ''}`, 'aria-label': title },
    h('div', {}, h(level, {}, title), h('p', { class: 'soft' }, text), options, refused ? h('p', { class: 'note warn' }, refused) : h('p', { class: 'soft cost' }, `${cost} · ${account}`)),
    go,
  );
}
