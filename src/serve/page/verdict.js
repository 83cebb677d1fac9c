// What an answer means, in a headline, a sentence, and what speaks for and against.

import { h, icon } from './dom.js';
import { age, dateTime, has, number, percent, t } from './i18n.js';

/** `hit`, `variant`, `review`, `asked` or `miss`: how an answer is shown. */
export function stateOf(answer) {
  if (answer.source === 'upstream') return 'asked';
  if (answer.verdict === 'review') return answer.why === 'other_variant' ? 'variant' : 'review';
  return answer.verdict;
}

const ICONS = { hit: 'hit', variant: 'variant', review: 'question', asked: 'asked', miss: 'miss', error: 'error' };

/** The word of a state with its sign, small. */
export const pill = (state) => h('span', { class: `pill ${state}` }, icon(ICONS[state]), t(`state.${state}`));

/** Whether an unanswered picture is itself stored, because something was said of it. */
export const isStored = ({ verdict, explain }) => verdict === 'miss' && explain.score !== null && explain.score > 0.99999;

function sentence(answer, state) {
  if (state === 'hit') return t(has(`rule.${answer.rule}`) ? `rule.${answer.rule}` : 'rule.same_picture');
  if (state === 'asked') return t('asked.sentence', { n: answer.upstream_calls, offers: answer.offers.length });
  if (state === 'miss' && isStored(answer)) return t('miss.stored');
  if (state === 'miss') return t(answer.explain.photo_id === null ? 'miss.empty' : 'miss.sentence');
  const key = `why.${answer.why}`;
  return t(has(key) ? key : 'why.uncertain');
}

/** The answer in large. */
export function headline(answer) {
  const state = stateOf(answer);
  return h(
    'div',
    { class: `headline ${state}` },
    h('h2', { tabindex: '-1' }, h('span', { class: 'badge' }, icon(ICONS[state])), t(`state.${state}`)),
    h('p', { class: 'lead' }, sentence(answer, state)),
  );
}

/** What went wrong, in words, and `ways` on. */
export function troubleBox(problem, ...ways) {
  return h(
    'div',
    { class: 'headline error' },
    h('h2', { tabindex: '-1' }, h('span', { class: 'badge' }, icon('error')), t('state.error')),
    h('p', { class: 'lead', role: 'alert' }, problem.words ?? t('error.other')),
    problem.calls > 0 && h('p', {}, t('error.calls', { n: problem.calls })),
    h('div', { class: 'row' }, ways),
  );
}

export const againButton = (words, onclick) => h('button', { type: 'button', onclick }, icon('refresh'), words);

/** What the two pictures have in common and what not, as far as the server can tell: `{ agree: [text], differ: [text] }`. */
export function evidence({ rule, explain, differs }) {
  const agree = [];
  const differ = [];
  if (rule === 'same_bytes') return { agree: [t('fact.bytes')], differ };
  if (rule === 'same_pixels') return { agree: [t('fact.pixels')], differ };
  const { geometry } = explain;
  const colours = explain.colour_agreement;
  if (geometry) {
    if (geometry.keypoints >= 3) agree.push(t('fact.keypoints', { n: geometry.keypoints }));
    const side = (share, whole, part) => (share >= 0.97 ? agree.push(t(whole)) : differ.push(t(part, { share: percent(share) })));
    side(Math.min(1, geometry.overlap_stored), 'fact.stored_whole', 'fact.stored_part');
    if (geometry.overlap_query < 0.97) differ.push(t('fact.covers', { share: percent(geometry.overlap_query) }));
    if (geometry.mirrored) differ.push(t('fact.mirrored'));
    if (geometry.turn_degrees >= 1) differ.push(t('fact.turned', { degrees: number(geometry.turn_degrees, { maximumFractionDigits: 0 }) }));
  } else {
    differ.push(t('fact.not_laid'));
  }
  if (typeof colours === 'number') {
    if (colours >= 0.9) agree.push(t('fact.colours', { share: percent(colours) }));
    else differ.push(t('fact.colours_off', { share: percent(1 - colours) }));
  }
  if (explain.doubt && has(`doubt.${explain.doubt}`)) differ.push(t(`doubt.${explain.doubt}`));
  if (differs > 0.004) differ.push(t('fact.marked', { share: percent(differs, differs < 0.1 ? 1 : 0) }));
  return { agree, differ };
}

/** How sure it is, and the threshold from which on it is a hit. */
export function meter(confidence, threshold) {
  if (typeof confidence !== 'number') return null;
  const text = t('sure.text', { sure: percent(confidence, 1), threshold: percent(threshold, 1) });
  const fill = h('span', { class: 'fill' });
  fill.style.inlineSize = `${Math.max(0, Math.min(1, confidence)) * 100}%`;
  const line = h('span', { class: 'line' });
  line.style.insetInlineStart = `${Math.max(0, Math.min(1, threshold)) * 100}%`;
  const bar = h('div', { class: `meter ${confidence >= threshold ? 'over' : 'under'}`, role: 'img', 'aria-label': text }, fill, line);
  return h('div', { class: 'sure' }, h('span', { class: 'label' }, t('sure.label')), bar, h('span', { class: 'soft' }, text));
}

/** Both lists, each with a sign of its own. */
export function facts({ agree, differ }) {
  const list = (items, kind) =>
    items.length > 0 &&
    h('div', { class: `facts ${kind}` }, h('h3', {}, t(`facts.${kind}`)), h('ul', {}, items.map((text) => h('li', {}, icon(kind === 'agree' ? 'hit' : 'cross'), h('span', {}, text)))));
  return h('div', { class: 'fact-lists' }, list(agree, 'agree'), list(differ, 'differ'));
}

/** When the offers were fetched, and warnings. */
export function freshness(answer) {
  const lines = [];
  if (answer.fetched_at && answer.offers.length > 0) {
    const told = t(answer.matched?.kind === 'own' ? 'fresh.own' : 'fresh.fetched', { age: age(answer.fetched_at) });
    lines.push(h('p', { class: 'soft', title: dateTime(answer.fetched_at) }, told, answer.stale ? ` ${t('fresh.stale')}` : ''));
  }
  for (const warning of answer.warnings ?? []) lines.push(h('p', { class: 'note warn' }, warning));
  return lines;
}
