// Many pictures at once: a line each with its verdict, and what asking about the rest would cost.

import * as api from './api.js';
import { allowance, askBox, onQuota, readQuota, reasonWords } from './ask.js';
import { announce, h, icon } from './dom.js';
import { money, t } from './i18n.js';
import { chooser } from './search.js';
import { pill, stateOf } from './verdict.js';

const AT_ONCE = 2;
const MAX_PICTURES = 2000;
const STATES = ['hit', 'variant', 'review', 'miss', 'asked', 'error'];
/** A refusal of an overloaded server is waited out so often. */
const MAX_ATTEMPTS = 6;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** A cell of a CSV: quoted, and not a formula where a spreadsheet opens it. */
const cell = (value) => `"${String(value ?? '').replace(/^([=+\-@\t\r])/, "'$1").replaceAll('"', '""')}"`;

/** `openOne(file)` shows one picture by itself. */
export function manyView({ openOne }) {
  const root = h('main', { class: 'view many', id: 'main' });
  const rows = [];
  const state = { only: null, paused: false, busy: 0 };
  const list = h('ul', { class: 'lines' });
  let parts = {};

  const hasOutcome = (row) => row.answer !== null || row.problem !== null;
  /** A row that is to be asked about is not done, although it has the answer of a search without a call. */
  const isDone = (row) => hasOutcome(row) && !row.asking;
  function stateNow(row) {
    if (!isDone(row)) return row.busy ? 'busy' : 'waiting';
    return row.problem ? 'error' : stateOf(row.answer);
  }

  function add(files) {
    const room = MAX_PICTURES - rows.length;
    const taken = files.slice(0, room);
    for (const file of taken) {
      const row = { file, answer: null, problem: null, busy: false, asking: false, asked: false, requestKey: null };
      row.element = line(row);
      rows.push(row);
    }
    if (taken.length < files.length) announce(t('many.too_many', { max: MAX_PICTURES }));
    state.left_out = files.length - taken.length;
    render();
    work();
  }

  /** Takes what waits, a few at a time. */
  function work() {
    while (!state.paused && state.busy < AT_ONCE) {
      const row = rows.find((candidate) => !candidate.busy && !isDone(candidate));
      if (!row) break;
      state.busy += 1;
      row.busy = true;
      refresh(row);
      one(row).finally(() => {
        const wasAsking = row.asking;
        state.busy -= 1;
        row.busy = false;
        row.asking = false;
        refresh(row);
        if (rows.length > 0 && rows.every(isDone)) announce(t('many.done', { n: rows.length }));
        work();
        if (wasAsking && state.busy === 0) readQuota();
      });
    }
  }

  async function one(row) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (row.asking) {
          // The same word until an answer has come: what was paid for is not paid for twice.
          row.requestKey ??= api.newRequestKey();
          row.answer = await api.search(row, {}, { requestKey: row.requestKey });
          Object.assign(row, { asked: true, requestKey: null });
        } else {
          row.answer = await api.search(row, { known: true });
        }
        row.problem = null;
        return;
      } catch (error) {
        const mayPass = error.status === 429 && attempt < MAX_ATTEMPTS;
        if (!mayPass) {
          row.problem = error;
          return;
        }
        await wait(Math.max(1, error.retryAfterSecs) * 1000);
      }
    }
  }

  /** What went wrong, or why nothing was asked although that was wished. */
  function trouble({ problem, answer, asked }) {
    if (problem) return problem.words ?? t('error.other');
    const unanswered = asked && answer?.unanswered;
    return unanswered ? reasonWords(unanswered.reason, unanswered.message, unanswered.retry_at) : '';
  }

  function said({ answer }) {
    if (!answer) return '';
    const cheapest = answer.offers.map((offer) => offer.price).filter((price) => price !== null).sort((a, b) => a - b)[0];
    const offers = answer.offers.length > 0 && t('many.offers', { n: answer.offers.length });
    const from = cheapest !== undefined && t('many.from', { price: money(cheapest) });
    return [answer.matched?.label, offers, from].filter(Boolean).join(' · ');
  }

  function line(row) {
    const src = URL.createObjectURL(row.file);
    const img = h('img', { src, alt: '', loading: 'lazy', decoding: 'async' });
    row.parts = { pill: h('span', { class: 'state' }), said: h('span', { class: 'soft name' }) };
    const open = h('button', { type: 'button', class: 'entry', onclick: () => openOne(row.file) }, img, h('span', { class: 'name' }, row.file.name), row.parts.pill, row.parts.said);
    return h('li', {}, open);
  }

  function draw(row) {
    const now = stateNow(row);
    const waiting = now === 'busy' || now === 'waiting';
    row.parts.pill.replaceChildren(waiting ? h('span', { class: `pill ${now}` }, now === 'busy' ? icon('spin') : null, t(`many.${now}`)) : pill(now));
    const wrong = waiting ? '' : trouble(row);
    row.parts.said.textContent = wrong || said(row);
    // A reason is read to its end.
    row.parts.said.classList.toggle('name', wrong === '');
    row.element.hidden = state.only !== null && now !== state.only;
  }

  function refresh(row) {
    draw(row);
    summary();
  }

  function refreshAll() {
    rows.forEach(draw);
    summary();
  }

  const counts = () => Object.fromEntries(STATES.map((name) => [name, rows.filter((row) => isDone(row) && stateNow(row) === name).length]));

  function summary() {
    if (!parts.progress) return;
    const done = rows.filter(isDone).length;
    const found = counts();
    parts.progress.max = Math.max(1, rows.length);
    parts.progress.value = done;
    parts.text.textContent = t('many.progress', { done, n: rows.length });
    const focused = document.activeElement;
    parts.pause.hidden = done === rows.length;
    parts.pause.lastChild.textContent = t(state.paused ? 'many.go_on' : 'many.pause');
    parts.chips.forEach((chip) => {
      const name = chip.dataset.state;
      chip.hidden = name !== '' && found[name] === 0 && state.only !== name;
      chip.setAttribute('aria-pressed', String((state.only ?? '') === name));
      chip.querySelector('b').textContent = name === '' ? rows.length : found[name];
    });
    parts.csv.disabled = !rows.some(hasOutcome);
    const open = rows.filter((row) => row.answer && row.answer.verdict !== 'hit' && stateOf(row.answer) !== 'asked' && !row.asking);
    const shownFor = `${open.length} ${done === rows.length}`;
    if (parts.shownFor !== shownFor) {
      parts.shownFor = shownFor;
      parts.ask.replaceChildren(...(done === rows.length && open.length > 0 ? [askAll(open)] : []));
    }
    // A button that goes leaves the focus near: the new one in its place, else what is to be read.
    if (!focused.isConnected) (parts.ask.querySelector('button:enabled') ?? parts.text).focus();
    else if (focused.hidden) parts.text.focus();
  }

  function askAll(open) {
    return askBox({
      calls: open.length,
      level: 'h2',
      title: t('many.ask', { n: open.length }),
      text: t('many.ask_text'),
      button: t('many.ask_button'),
      onask: () => {
        for (const row of open) Object.assign(row, { asking: true, asked: false, problem: null });
        Object.assign(state, { only: null, paused: false });
        refreshAll();
        parts.pause.focus();
        work();
      },
    });
  }

  function download() {
    const head = ['file', 'verdict', 'rule', 'why', 'similarity', 'confidence', 'matched', 'offers', 'cheapest_offer', 'price', 'error'];
    const lines = rows.filter(hasOutcome).map(({ file, answer, problem }) => {
      const cheapest = answer?.offers.filter((offer) => offer.price !== null).sort((a, b) => a.price - b.price)[0];
      return [file.name, answer?.verdict, answer?.rule, answer?.why, answer?.similarity, answer?.confidence, answer?.matched?.label, answer?.offers.length, cheapest?.offer_id, cheapest?.price, problem?.code];
    });
    // The mark at the beginning tells spreadsheets that it is UTF-8.
    const text = `\ufeff${[head, ...lines].map((line) => line.map(cell).join(',')).join('\r\n')}\r\n`;
    const url = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
    h('a', { href: url, download: 'tongkuan.csv' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  function clear() {
    for (const row of rows) URL.revokeObjectURL(row.element.querySelector('img').src);
    rows.length = 0;
    state.only = null;
    render();
    root.querySelector('h1').focus();
  }

  function render() {
    const [input, button] = chooser(add, { words: t('many.add'), primary: rows.length === 0 });
    const title = h('h1', { tabindex: '-1' }, t('many.title'));
    if (rows.length === 0) {
      parts = {};
      root.replaceChildren(title, h('section', { class: 'drop' }, h('div', { class: 'drop-picture' }, icon('many')), h('p', { class: 'lead' }, t('many.drop')), h('p', { class: 'soft' }, t('many.drop_hint')), input, button));
      return;
    }
    const chip = (name) =>
      h('button', { type: 'button', class: `chip ${name}`, data: { state: name }, onclick: () => ((state.only = name || null), refreshAll()) }, h('b', {}), ' ', name ? t(`state.${name}`) : t('many.all'));
    parts = {
      progress: h('progress', { 'aria-label': t('many.progress_label') }),
      text: h('p', { class: 'soft', tabindex: '-1' }),
      pause: h('button', { type: 'button', onclick: () => ((state.paused = !state.paused), summary(), work()) }, h('span')),
      csv: h('button', { type: 'button', onclick: download }, t('many.csv')),
      chips: ['', ...STATES].map(chip),
      ask: h('div'),
      shownFor: null,
    };
    root.replaceChildren(...[
      title,
      h('section', { class: 'bar' }, h('div', { class: 'row' }, input, button, parts.pause, parts.csv, h('button', { type: 'button', class: 'quiet', onclick: clear }, t('many.clear'))), parts.progress, parts.text),
      state.left_out > 0 && h('p', { class: 'note warn' }, t('many.too_many', { max: MAX_PICTURES })),
      h('div', { class: 'chips', role: 'group', 'aria-label': t('many.filter') }, parts.chips),
      parts.ask,
      list,
    ].filter(Boolean));
    list.replaceChildren(...rows.map((row) => row.element));
    refreshAll();
  }

  onQuota((quota) => {
    if (parts.ask?.firstChild && allowance(quota)) {
      parts.shownFor = null;
      summary();
    }
  });
  return { root, render, takeFiles: add };
}
