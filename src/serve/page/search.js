// One picture: the verdict, the stored picture beside it, and the offers.

import * as api from './api.js';
import { allowance, askBox, onQuota, readQuota, reasonWords } from './ask.js';
import { announce, h, icon } from './dom.js';
import { t } from './i18n.js';
import { offerList } from './offers.js';
import { pair } from './pair.js';
import { isOn, setOn } from './prefs.js';
import { againButton, evidence, facts, freshness, headline, isStored, meter, stateOf, troubleBox } from './verdict.js';
import { broughtBy, wideBox } from './wide.js';

/** Rules by which a picture is its stored one, so that there is nothing to say of a pair. */
const CERTAIN = ['same_bytes', 'same_pixels'];
const ACCEPT = 'image/jpeg,image/png,image/webp,image/gif,image/bmp';

/** A button that opens the browser's own choice of files. */
export function chooser(onfiles, { words, primary, multiple = true }) {
  const input = h('input', { type: 'file', accept: ACCEPT, multiple, hidden: true, onchange: () => (onfiles([...input.files]), (input.value = '')) });
  return [input, h('button', { type: 'button', class: primary ? 'primary' : '', onclick: () => input.click() }, icon('picture'), words)];
}

/** `openMany(files)` takes over where several pictures come at once. */
export function searchView({ openMany }) {
  const root = h('main', { class: 'view search', id: 'main' });
  const state = { picture: null, status: 'empty', answer: null, comparison: null, comparing: false, problem: null, asked: false, options: {}, wide: {}, said: null };
  let running = new AbortController();

  function start(picture) {
    running.abort();
    running = new AbortController();
    if (state.picture?.src) URL.revokeObjectURL(state.picture.src);
    const src = picture.file ? URL.createObjectURL(picture.file) : null;
    const label = picture.file ? picture.file.name : picture.url;
    Object.assign(state, { picture: { ...picture, src, label }, asked: false, wide: {}, said: null });
    return run(() => lookUp());
  }

  /** What is known, without a call; then, where that was wished for and nothing is known, one call. */
  async function lookUp() {
    const answer = await api.search(state.picture, { known: true }, { signal: running.signal });
    if (answer.verdict !== 'hit' && isOn('auto_ask') && allowance(await readQuota()).why === null) return asking({});
    return answer;
  }

  function asking(options) {
    Object.assign(state, { asked: true, options });
    // The same word if it is tried again: what was paid for is not paid for twice.
    const wish = JSON.stringify(options);
    if (state.picture.wish !== wish) Object.assign(state.picture, { wish, requestKey: api.newRequestKey() });
    return api.search(state.picture, options, { signal: running.signal, requestKey: state.picture.requestKey }).finally(readQuota);
  }

  /** Runs a search and shows what came of it. */
  async function run(work) {
    const { signal } = running;
    Object.assign(state, { status: 'busy', answer: null, comparison: null, problem: null });
    render();
    announce(t('search.busy'));
    try {
      const answer = await work();
      if (signal.aborted) return;
      if (state.asked) delete state.picture.wish;
      Object.assign(state, { status: 'done', answer });
    } catch (error) {
      if (signal.aborted || error.name === 'AbortError') return;
      Object.assign(state, { status: 'failed', problem: error });
    }
    state.comparing = state.status === 'done' && beside() !== null && !CERTAIN.includes(state.answer.rule);
    render();
    const heading = root.querySelector('.result h2');
    heading?.focus({ preventScroll: true });
    if (state.comparing) await compareWith(beside().photoId, signal);
  }

  async function compareWith(photoId, signal) {
    try {
      const comparison = await api.compare(state.picture, photoId, signal);
      if (!signal.aborted) state.comparison = comparison;
    } catch {
      // The verdict stands without it.
    }
    if (signal.aborted) return;
    state.comparing = false;
    renderPair();
  }

  /** The stored picture to be shown: the matched one, else the nearest. */
  function beside() {
    const { matched, explain, verdict } = state.answer;
    if (matched) return { photoId: matched.photo_id, label: matched.label, title: t(`pair.kind.${matched.kind}`) };
    if (verdict === 'miss' && explain.photo_id !== null && !isStored(state.answer)) return { photoId: explain.photo_id, label: t('pair.photo', { id: explain.photo_id }), title: t('pair.nearest') };
    return null;
  }

  async function say(same) {
    const photoId = state.said?.photoId ?? state.answer.matched.photo_id;
    try {
      await api.tell(state.picture, photoId, same);
      state.said = same === null ? null : { same, photoId };
      announce(t(same === null ? 'said.taken_back' : same ? 'said.same' : 'said.different'));
      state.asked = false;
      await run(() => api.search(state.picture, { local: true }, { signal: running.signal }));
    } catch (error) {
      state.problem = error;
      render();
    }
  }

  async function nextPage() {
    const page = Math.ceil(state.answer.offers.length / 20) + 1;
    const { signal } = running;
    try {
      const next = await api.search(state.picture, { page }, { signal, requestKey: api.newRequestKey() });
      const known = new Set(state.answer.offers.map((offer) => offer.offer_id));
      state.answer.offers.push(...next.offers.filter((offer) => !known.has(offer.offer_id)));
      state.problem = null;
      // A page without anything new is the last.
      if (next.offers.length === 0) state.answer.total_offers = state.answer.offers.length;
      if (next.unanswered) state.answer.unanswered = next.unanswered;
    } catch (error) {
      if (error.name === 'AbortError') return;
      state.problem = error;
    }
    await readQuota();
    render();
  }

  function takeFiles(files) {
    if (files.length > 1) return openMany(files);
    if (files.length === 1) return start({ file: files[0] });
    return undefined;
  }

  function addressForm() {
    const field = h('input', { id: 'address', type: 'url', inputmode: 'url', autocomplete: 'off', spellcheck: 'false', placeholder: t('search.placeholder'), required: true, 'aria-describedby': 'address-problem' });
    const problem = h('p', { class: 'field-problem', id: 'address-problem', role: 'alert', hidden: true });
    const go = (event) => {
      event.preventDefault();
      const url = field.value.trim();
      problem.hidden = /^https?:\/\/\S+$/i.test(url);
      problem.textContent = problem.hidden ? '' : t('search.bad_address');
      if (problem.hidden) start({ url });
      else field.focus();
    };
    return h(
      'form',
      { class: 'address', novalidate: true, onsubmit: go },
      h('label', { for: 'address' }, t('search.address')),
      h('div', { class: 'row nowrap' }, field, h('button', { type: 'submit' }, icon('search'), t('search.go'))),
      problem,
    );
  }

  function autoAsk() {
    const box = h('input', { type: 'checkbox', checked: isOn('auto_ask'), onchange: () => setOn('auto_ask', box.checked) });
    return h('label', { class: 'check' }, box, h('span', {}, t('search.auto_ask')));
  }

  function intake() {
    const isFirst = state.status === 'empty';
    const [input, button] = chooser(takeFiles, { words: t('search.choose'), primary: isFirst });
    if (isFirst) {
      return h(
        'section',
        { class: 'drop', 'aria-label': t('search.title') },
        h('div', { class: 'drop-picture' }, icon('picture')),
        h('p', { class: 'lead' }, t(matchMedia('(pointer: coarse)').matches ? 'search.drop_touch' : 'search.drop')),
        h('p', { class: 'soft' }, t('search.drop_hint')),
        input,
        button,
        addressForm(),
        autoAsk(),
      );
    }
    return h('section', { class: 'strip', 'aria-label': t('search.title') }, input, button, addressForm(), autoAsk());
  }

  function renderPair() {
    root.querySelector('.pair')?.replaceWith(pairNow());
    root.querySelector('.fact-lists')?.replaceWith(factsNow());
  }

  function pairNow() {
    const stored = state.answer ? beside() : null;
    const view = pair({
      own: { src: state.picture.src, label: state.picture.label },
      stored: stored ?? (state.status === 'busy' ? { title: t('pair.stored'), label: '' } : null),
      comparison: state.comparison,
      loading: state.status === 'busy' || state.comparing,
    });
    // Equal pictures are seen in full; else, without a comparison, the small picture will do.
    if (stored && CERTAIN.includes(state.answer.rule) && state.picture.src) {
      return pair({ own: { src: state.picture.src, label: state.picture.label }, stored: { ...stored, src: state.picture.src }, comparison: null });
    }
    if (stored && !state.comparison && !state.comparing) {
      api.thumb(stored.photoId).then((src) => {
        if (src) view.replaceWith(pair({ own: { src: state.picture.src, label: state.picture.label }, stored: { ...stored, src }, comparison: null }));
      });
    }
    return view;
  }

  function factsNow() {
    if (state.answer.verdict === 'miss') return h('div', { class: 'fact-lists' });
    return facts(evidence({ rule: state.answer.rule, explain: state.answer.explain, differs: state.comparison?.differs ?? 0 }));
  }

  function sayBox() {
    const { answer, said } = state;
    if (said) {
      return h(
        'div',
        { class: 'said' },
        h('p', {}, icon('hit'), t(said.same ? 'said.same' : 'said.different')),
        h('button', { type: 'button', 'data-key': 'u', onclick: () => say(null) }, icon('undo'), t('said.undo')),
      );
    }
    if (!answer.matched || CERTAIN.includes(answer.rule)) return null;
    return h(
      'div',
      { class: 'say', role: 'group', 'aria-label': t('say.title') },
      h('span', {}, t('say.title')),
      h('button', { type: 'button', 'data-key': 's', onclick: () => say(true) }, icon('hit'), t('say.same')),
      h('button', { type: 'button', 'data-key': 'n', onclick: () => say(false) }, icon('cross'), t('say.different')),
    );
  }

  function askNow() {
    const shown = stateOf(state.answer);
    if (shown === 'asked') return null;
    const isHit = shown === 'hit';
    return askBox({
      calls: 1,
      title: t(isHit ? 'ask.anyway' : 'ask.title'),
      text: t(isHit ? 'ask.anyway_text' : `ask.text_${shown}`),
      isMain: !isHit,
      button: t(isHit ? 'ask.anyway' : 'ask.button'),
      onask: () => run(() => asking(isHit ? { refresh: true } : {})),
    });
  }

  function problemBox(problem) {
    const retry = () => (state.answer ? ((state.problem = null), render()) : run(state.asked ? () => asking(state.options) : () => lookUp()));
    const code = problem.code && h('a', { class: 'soft', href: `/docs/errors#${problem.code}`, target: '_blank', rel: 'noopener' }, t('error.code', { code: problem.code }));
    return troubleBox(problem, againButton(t(state.answer ? 'error.back' : 'error.again'), retry), code);
  }

  function verdictNow() {
    if (state.problem) return [problemBox(state.problem)];
    if (state.status === 'busy') return [h('div', { class: 'headline busy' }, h('h2', { tabindex: '-1' }, h('span', { class: 'badge' }, icon('spin')), t(state.asked ? 'search.asking' : 'search.busy')), h('p', { class: 'lead soft' }, t('search.busy_text')))];
    const { answer } = state;
    const unanswered = state.asked && answer.unanswered;
    return [
      headline(answer),
      unanswered && h('p', { class: 'note warn' }, reasonWords(unanswered.reason, unanswered.message, unanswered.retry_at)),
      CERTAIN.includes(answer.rule) || !['hit', 'review'].includes(stateOf(answer)) ? null : meter(answer.confidence, answer.threshold),
      factsNow(),
      sayBox(),
      askNow(),
      freshness(answer),
    ];
  }

  function offersNow() {
    const { answer } = state;
    if (!answer || answer.offers.length === 0) {
      return answer && stateOf(answer) === 'asked' && !answer.unanswered && h('p', { class: 'empty' }, t('offers.none'));
    }
    const isOwn = answer.matched?.kind === 'own';
    const look = ['variant', 'review'].includes(stateOf(answer));
    const more = !isOwn && !look && answer.total_offers > answer.offers.length;
    return [
      look && h('p', { class: 'note warn' }, t('offers.of_look_alike')),
      offerList(answer.offers, { ownPhotoId: isOwn ? answer.matched.photo_id : null, total: answer.total_offers, filteredOut: answer.filtered_out }),
      more && askBox({ calls: 1, title: t('offers.next'), text: t('offers.next_text'), button: t('offers.next'), onask: nextPage }),
    ];
  }

  function wideNow() {
    const { answer, wide } = state;
    if (!answer || state.problem || answer.matched?.kind === 'own') return null;
    const onchange = (name) => {
      showWide();
      root.querySelector(`.wide [data-wide=${name}]`)?.focus();
    };
    const box = wideBox(answer, wide, { onchange, onask: (options) => run(() => asking(options)) });
    return h('div', { class: 'wide' }, broughtBy(answer.parts), box);
  }

  function showWide() {
    root.querySelector('.wide')?.replaceWith(wideNow() ?? '');
  }

  function render() {
    const isEmpty = state.status === 'empty';
    root.replaceChildren(
      h('h1', { class: isEmpty ? '' : 'unseen', tabindex: '-1' }, t('search.title')),
      intake(),
      ...(isEmpty ? [] : [h('section', { class: 'result', 'aria-busy': String(state.status === 'busy') }, pairNow(), h('div', { class: 'verdict' }, ...verdictNow().flat().filter(Boolean)))]),
      ...[wideNow(), offersNow()].flat().filter(Boolean),
    );
  }

  onQuota(() => {
    // What asking costs is said as it is now.
    const box = state.status === 'done' && !state.problem && root.querySelector('.verdict .ask');
    if (box) box.replaceWith(askNow());
    if (state.status === 'done') showWide();
  });
  return { root, render, start, takeFiles };
}
