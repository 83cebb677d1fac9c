// A wider search: at every upstream, and for each part of the picture in which 1688 sees goods. What it may cost is said first.

import { askBox, openUpstreams, reasonWords } from './ask.js';
import { h } from './dom.js';
import { t } from './i18n.js';

/** Where else may be asked about an answer: how many upstreams there are, and how many parts are suggested. */
const placesOf = (answer) => ({ upstreams: openUpstreams(), parts: answer.suggested_regions?.length ?? 0 });

/** The most that it costs: the picture and each chosen part, at each chosen upstream. */
const callsOf = (places, chosen) => (chosen.upstreams ? places.upstreams : 1) * (1 + (chosen.parts ? places.parts : 0));

/**
 * What else may be asked, and the button that does it; null where there is nothing else. `chosen` is kept by the caller;
 * `onchange` hears of another choice, and `onask` gets the search's options.
 */
export function wideBox(answer, chosen, { onchange, onask }) {
  const places = placesOf(answer);
  const offered = [places.upstreams > 1 && 'upstreams', places.parts > 0 && 'parts'].filter(Boolean);
  if (offered.length === 0 || answer.parts?.length > 0) return null;
  const choice = (name) => {
    const box = h('input', { type: 'checkbox', checked: chosen[name], 'data-wide': name, onchange: () => ((chosen[name] = box.checked), onchange(name)) });
    return h('label', { class: 'check' }, box, h('span', {}, t(`wide.${name}`, { n: places[name] })));
  };
  const isChosen = offered.some((name) => chosen[name]);
  const calls = callsOf(places, chosen);
  return askBox({
    calls,
    title: t('wide.title'),
    text: t('wide.text'),
    button: t('wide.button'),
    options: offered.map(choice),
    // Nothing else is no wider search.
    refusal: isChosen ? null : t('wide.none'),
    key: 'w',
    onask: () => onask({ all_upstreams: chosen.upstreams && places.upstreams > 1, suggested_regions: chosen.parts && places.parts > 0, max_calls: calls }),
  });
}

/** What each place has brought; null where only one was asked. */
export function broughtBy(parts) {
  if (!parts?.length) return null;
  const line = ({ upstream, region, new_offers: n, upstream_calls: calls, unanswered, error }) => {
    const where = [upstream, region ? t('wide.part', { region }) : t('wide.whole')].filter(Boolean).join(', ');
    const why = error ? t('wide.failed') : unanswered && reasonWords(unanswered.reason, unanswered.message, unanswered.retry_at);
    return h('li', {}, h('span', {}, where), ' ', h('b', {}, t('wide.new', { n })), ' ', h('span', { class: 'soft' }, why || t(calls === 0 ? 'wide.known' : 'wide.calls', { n: calls })));
  };
  return h('details', { class: 'brought' }, h('summary', {}, t('wide.brought')), h('ul', {}, parts.map(line)));
}
