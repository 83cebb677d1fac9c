// The frame around the views: navigation, language, theme, key, keys of the keyboard, and pictures that are dropped or pasted.

import { currentKey, onKeyNeeded, reviews as listReviews } from './api.js';
import { allowance, onQuota, readQuota } from './ask.js';
import { announce, dialog, h, icon, isTyping } from './dom.js';
import { currentLanguage, number, t, useLanguage } from './i18n.js';
import { enterKey } from './key.js';
import { manyView } from './many.js';
import { overviewView } from './overview.js';
import { isOn, pref, setOn, setTheme } from './prefs.js';
import { reviewsView } from './reviews.js';
import { searchView } from './search.js';

const VIEWS = { search: 'search', many: 'many', reviews: 'review', overview: 'overview' };
const THEMES = ['auto', 'light', 'dark'];

const views = {
  search: searchView({ openMany: (files) => (go('many'), views.many.takeFiles(files)) }),
  many: manyView({ openOne: (file) => (go('search'), views.search.start({ file })) }),
  reviews: reviewsView({ onopen: (open) => ((openReviews = open), drawBadge()) }),
  overview: overviewView(),
};
const app = document.getElementById('app');
let openReviews = 0;
let quota = null;

const currentView = () => (Object.hasOwn(VIEWS, location.hash.slice(2)) ? location.hash.slice(2) : 'search');

function go(view) {
  if (currentView() === view) return;
  history.pushState(null, '', `#/${view}`);
  show();
}

function show() {
  const name = currentView();
  const view = views[name];
  document.title = `${t(`nav.${name}`)} · ${t('brand')}`;
  app.querySelector('main')?.replaceWith(view.root);
  for (const link of app.querySelectorAll('nav a')) {
    if (link.dataset.view === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  view.render();
  view.shown?.();
  scrollTo(0, 0);
}

function drawBadge() {
  const badge = app.querySelector('nav a[data-view=reviews] .badge-count');
  if (!badge) return;
  badge.hidden = openReviews === 0;
  badge.replaceChildren(h('span', { 'aria-hidden': 'true' }, number(openReviews)), h('span', { class: 'unseen' }, t('nav.open', { n: openReviews })));
}

function drawQuota() {
  const place = app.querySelector('.quota-pill');
  if (!place || !quota) return;
  const { left, budget, why } = allowance(quota);
  place.hidden = why === 'no_upstream';
  place.classList.toggle('low', left < budget / 10);
  // On a narrow screen the number alone is shown.
  place.replaceChildren(h('span', { class: 'long' }, t('quota.pill', { n: left })), h('span', { class: 'short' }, number(left)));
  place.setAttribute('aria-label', t('quota.pill', { n: left }));
  place.title = t('quota.pill', { n: left });
}

async function switchLanguage() {
  await useLanguage(currentLanguage() === 'zh' ? 'en' : 'zh');
  frame();
  app.querySelector('.language').focus();
}

function switchTheme(button) {
  const next = THEMES[(THEMES.indexOf(pref('theme', 'auto')) + 1) % THEMES.length];
  setTheme(next);
  button.setAttribute('aria-label', t(`theme.${next}`));
  button.title = t(`theme.${next}`);
  announce(t(`theme.${next}`));
}

function showHelp() {
  const keys = [['S', 'keys.same'], ['N', 'keys.different'], ['A', 'keys.ask'], ['W', 'keys.wide'], ['M', 'keys.marks'], ['U', 'keys.undo'], ['J K', 'keys.move'], ['X', 'keys.aside'], ['O', 'keys.choose'], ['/', 'keys.address'], ['1–4', 'keys.views'], ['?', 'keys.help']];
  const box = h('input', { type: 'checkbox', checked: isOn('keys', 'on'), onchange: () => setOn('keys', box.checked) });
  dialog(
    t('help.title'),
    t('close'),
    h('dl', { class: 'keys' }, keys.map(([key, words]) => h('div', {}, h('dt', {}, key.split(' ').map((one) => h('kbd', {}, one))), h('dd', {}, t(words))))),
    h('label', { class: 'check' }, box, h('span', {}, t('help.switch'))),
    h('p', {}, h('a', { href: '/docs' }, t('help.docs')), ' · ', h('a', { href: '/docs/errors' }, t('help.errors'))),
  );
}

function frame() {
  const theme = pref('theme', 'auto');
  const link = ([name, sign]) =>
    h('li', {}, h('a', { href: `#/${name}`, data: { view: name } }, icon(sign), h('span', {}, t(`nav.${name}`)), name === 'reviews' && h('span', { class: 'badge-count', hidden: true })));
  const themeButton = h('button', { type: 'button', class: 'quiet icon-button', 'aria-label': t(`theme.${theme}`), title: t(`theme.${theme}`), onclick: () => switchTheme(themeButton) }, icon('theme'));
  app.replaceChildren(
    h('a', { class: 'skip', href: '#main', onclick: (event) => (event.preventDefault(), app.querySelector('main h1').focus()) }, t('skip')),
    h(
      'header',
      { class: 'top' },
      h('a', { class: 'brand', href: '#/search', }, h('img', { src: '/page/icon.svg', alt: '', width: '28', height: '28' }), h('b', { lang: 'zh-Hans' }, '同款'), h('span', { lang: 'en' }, 'Tongkuan')),
      h('nav', { 'aria-label': t('nav.label') }, h('ul', {}, Object.entries(VIEWS).map(link))),
      h(
        'div',
        { class: 'top-end' },
        h('a', { class: 'quota-pill', href: '#/overview', hidden: true }),
        currentKey() !== null && h('button', { type: 'button', class: 'quiet icon-button', 'aria-label': t('key.title'), title: t('key.title'), onclick: () => enterKey(false).then(() => (frame(), readQuota())) }, icon('key')),
        h('button', { type: 'button', class: 'quiet icon-button', 'aria-label': t('help.title'), title: t('help.title'), onclick: showHelp }, h('span', { 'aria-hidden': 'true' }, '?')),
        themeButton,
        h('button', { type: 'button', class: 'quiet language', lang: currentLanguage() === 'zh' ? 'en' : 'zh-Hans', onclick: switchLanguage }, currentLanguage() === 'zh' ? 'English' : '中文'),
      ),
    ),
    h('main'),
  );
  show();
  drawBadge();
  drawQuota();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || !isOn('keys', 'on')) return;
  if (document.querySelector('dialog[open]')) return;
  const key = event.key.toLowerCase();
  const view = Object.keys(VIEWS)[Number(key) - 1];
  const act =
    (view && (() => go(view))) ||
    (key === '?' && showHelp) ||
    (key === '/' && (() => app.querySelector('#address')?.focus())) ||
    (key === 'o' && (() => app.querySelector('main input[type=file] + button')?.click())) ||
    (/^[a-z]$/.test(key) && (() => app.querySelector(`main [data-key=${key}]:not(:disabled)`)?.click()));
  if (!act) return;
  if (/^[?/]$/.test(key)) event.preventDefault();
  act();
}

const pictures = (files) => [...files].filter((file) => file.type.startsWith('image/') || file.type === '');

function take(files) {
  if (files.length === 0) return announce(t('drop.no_picture'));
  if (currentView() === 'many') return views.many.takeFiles(files);
  go('search');
  return views.search.takeFiles(files);
}

function onDrag(event) {
  const holds = event.dataTransfer?.types.includes('Files') || event.dataTransfer?.types.includes('text/uri-list');
  if (!holds) return;
  event.preventDefault();
  document.body.classList.toggle('dragging', event.type !== 'dragleave' || event.relatedTarget !== null);
}

function onDrop(event) {
  document.body.classList.remove('dragging');
  const files = pictures(event.dataTransfer.files);
  const address = event.dataTransfer.getData('text/uri-list').split('\n').find((line) => /^https?:/.test(line));
  if (files.length === 0 && !address) return;
  event.preventDefault();
  if (files.length > 0) take(files);
  else go('search'), views.search.start({ url: address.trim() });
}

function onPaste(event) {
  const files = pictures(event.clipboardData.files);
  if (files.length > 0) {
    event.preventDefault();
    take(files);
  } else if (!isTyping(event)) {
    const url = event.clipboardData.getData('text').trim();
    if (/^https?:\/\/\S+$/i.test(url)) go('search'), views.search.start({ url });
  }
}

onKeyNeeded(async (wasRefused) => {
  const key = await enterKey(wasRefused);
  if (key) setTimeout(() => (frame(), begin()), 0);
  return key;
});
onQuota((read) => ((quota = read), drawQuota()));
// Also where one goes back or forward; popstate comes with it, and would show the view twice.
addEventListener('hashchange', show);
addEventListener('keydown', onKey);
for (const name of ['dragenter', 'dragover', 'dragleave']) addEventListener(name, onDrag);
addEventListener('drop', onDrop);
addEventListener('paste', onPaste);

async function begin() {
  await readQuota();
  try {
    ({ open: openReviews } = await listReviews(0, 1));
    drawBadge();
  } catch {
    // The badge can wait.
  }
}

await useLanguage();
frame();
begin();
