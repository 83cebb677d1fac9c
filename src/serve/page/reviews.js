// Pictures that were not certain, worked off one after the other, by keyboard if one likes.

import * as api from './api.js';
import { announce, h, icon } from './dom.js';
import { age, t } from './i18n.js';
import { pair } from './pair.js';
import { againButton, evidence, facts, meter, pill, troubleBox } from './verdict.js';

const PAGE = 50;

export function reviewsView({ onopen }) {
  const root = h('main', { class: 'view reviews', id: 'main' });
  const state = { status: 'busy', open: 0, queue: [], at: 0, done: [], problem: null };
  const comparisons = new Map();
  let turn = 0;
  let loads = 0;

  async function load() {
    const mine = (loads += 1);
    Object.assign(state, { status: 'busy', problem: null });
    render();
    try {
      const { open, reviews } = await api.reviews(0, PAGE);
      // Asked for again meanwhile.
      if (mine !== loads) return;
      Object.assign(state, { status: 'done', open, queue: reviews, at: 0 });
      onopen(open);
    } catch (error) {
      if (mine !== loads) return;
      Object.assign(state, { status: 'failed', problem: error });
    }
    render();
  }

  /** What is to be seen of a review; of the next one it is fetched ahead. */
  function comparisonOf(review) {
    if (!review) return null;
    const id = review.review_id;
    if (!comparisons.has(id)) {
      if (comparisons.size > 20) comparisons.delete(comparisons.keys().next().value);
      comparisons.set(id, api.comparedReview(id).catch(() => null));
    }
    return comparisons.get(id);
  }

  async function decide(work, words, { takesOut = true, review = state.queue[state.at] } = {}) {
    if (!review || state.deciding) return;
    state.deciding = true;
    try {
      await work(review);
      state.problem = null;
      if (takesOut) {
        // Another one may be looked at by now.
        const at = state.queue.indexOf(review);
        if (at >= 0) state.queue.splice(at, 1);
        if (at >= 0 && at < state.at) state.at -= 1;
        state.open = Math.max(0, state.open - 1);
        state.done.push({ review, words });
        if (state.at >= state.queue.length) state.at = 0;
      }
      announce(words);
    } catch (error) {
      state.problem = error;
    }
    state.deciding = false;
    onopen(state.open);
    if (state.queue.length === 0 && state.open > 0 && !state.problem) await load();
    else render();
  }

  const say = (same) => decide((review) => api.decideReview(review.review_id, same), t(same ? 'said.same' : 'said.different'));
  const aside = () => decide((review) => api.putAside(review.review_id), t('reviews.put_aside'));

  async function undo() {
    const last = state.done.at(-1);
    if (!last) return;
    await decide(
      async () => {
        await api.decideReview(last.review.review_id, null);
        state.done.pop();
        state.queue.splice(state.at, 0, last.review);
        state.open += 1;
      },
      t('said.taken_back'),
      { takesOut: false, review: last.review },
    );
  }

  function move(by) {
    if (state.queue.length === 0) return;
    state.at = (state.at + by + state.queue.length) % state.queue.length;
    render();
  }

  const button = (key, name, words, act, kind = '') =>
    h('button', { type: 'button', class: kind, 'data-key': key, onclick: act }, icon(name), h('span', {}, words), h('kbd', { 'aria-hidden': 'true' }, key.toUpperCase()));

  function about(review) {
    const { facts: told } = review;
    return [
      h('p', { class: 'row' }, pill(told.why === 'other_variant' ? 'variant' : 'review'), h('span', { class: 'soft' }, t('reviews.found', { age: age(review.found_at) }))),
      h('h2', { tabindex: '-1' }, t(`reviews.ask_${told.why === 'other_variant' ? 'variant' : 'review'}`)),
      // How sure it is of the same picture says nothing where it is another colour.
      told.why === 'other_variant' ? null : meter(told.confidence, told.threshold ?? 1),
    ];
  }

  function current() {
    const review = state.queue[state.at];
    const own = { src: null, label: review.label };
    const stored = { src: null, label: review.matched.label, title: t(`pair.kind.${review.matched.kind}`) };
    const lists = h('div', { class: 'fact-lists' });
    let view = pair({ own, stored, comparison: null, loading: true });
    const mine = (turn += 1);
    comparisonOf(review).then((comparison) => {
      if (mine !== turn) return;
      const next = pair({ own, stored, comparison, loading: false });
      view.replaceWith(next);
      view = next;
      if (!comparison) return;
      const explain = { geometry: comparison.geometry, colour_agreement: comparison.colour_agreement, doubt: review.facts.why };
      lists.replaceWith(facts(evidence({ explain, differs: comparison.differs ?? 0 })));
      comparisonOf(state.queue[(state.at + 1) % state.queue.length]);
    });
    return h(
      'section',
      { class: 'result' },
      view,
      h(
        'div',
        { class: 'verdict' },
        about(review),
        h('div', { class: 'decide', role: 'group', 'aria-label': t('say.title') }, button('s', 'hit', t('say.same'), () => say(true), 'yes'), button('n', 'cross', t('say.different'), () => say(false), 'no')),
        lists,
      ),
    );
  }

  function bar() {
    const { queue, at, open, done } = state;
    return h(
      'section',
      { class: 'bar row' },
      h('p', { class: 'count' }, queue.length > 0 ? t('reviews.count', { at: at + 1, n: open }) : ''),
      h('span', { class: 'row' },
        button('k', 'undo', t('reviews.previous'), () => move(-1), 'quiet'),
        button('j', 'asked', t('reviews.next'), () => move(1), 'quiet'),
        button('x', 'cross', t('reviews.aside'), aside, 'quiet'),
        done.length > 0 && button('u', 'undo', t('said.undo'), undo, 'quiet')),
    );
  }

  function body() {
    if (state.status === 'failed') return troubleBox(state.problem, againButton(t('error.again'), load));
    if (state.status === 'busy') return h('p', { class: 'empty' }, t('loading'));
    if (state.queue.length === 0) {
      return h('section', { class: 'drop done' }, h('div', { class: 'drop-picture' }, icon('hit')), h('p', { class: 'lead' }, t('reviews.none')), h('p', { class: 'soft' }, t('reviews.none_hint')), state.done.length > 0 && button('u', 'undo', t('said.undo'), undo));
    }
    return [bar(), state.problem && h('p', { class: 'note error', role: 'alert' }, state.problem.words ?? t('error.other')), current(), h('p', { class: 'soft tip' }, t('reviews.keys'))];
  }

  function render() {
    turn += 1;
    root.replaceChildren(h('h1', { tabindex: '-1' }, t('reviews.title')), ...[body()].flat().filter(Boolean));
  }

  return { root, render, shown: load };
}
