// How it goes: what is stored, what was saved, what is left, and how fast it answers.

import * as api from './api.js';
import { readQuota, reasonWords } from './ask.js';
import { bars, course, stack } from './charts.js';
import { h, icon } from './dom.js';
import { age, dateTime, duration, number, t } from './i18n.js';
import { histograms, parseMetrics, quantile, totals } from './metrics.js';
import { againButton, troubleBox } from './verdict.js';

const DAYS = 60;
const REFRESH_MS = 15_000;
/** In the order of a search. */
const STAGES = ['decode', 'tensor', 'embed', 'index', 'verdict', 'catalog', 'upstream'];
const VERDICTS = ['hit', 'review', 'miss'];

const tile = (value, words, more) => h('div', { class: 'tile' }, h('b', {}, value), h('span', {}, words), more && h('small', {}, more));
const wide = (title, ...parts) => h('section', { class: 'panel wide' }, h('h2', {}, title), parts);
const panel = (title, ...parts) => h('section', { class: 'panel' }, h('h2', {}, title), parts);

export function overviewView() {
  const root = h('main', { class: 'view overview', id: 'main' });
  const state = { stats: null, quota: null, samples: [], problem: null, readAt: null };
  let timer = 0;

  async function load() {
    clearTimeout(timer);
    try {
      const [stats, metrics, quota] = await Promise.all([api.stats(DAYS), api.metrics(), readQuota()]);
      Object.assign(state, { stats, quota, samples: parseMetrics(metrics), problem: null, readAt: new Date().toISOString() });
    } catch (error) {
      state.problem = error;
    }
    // A person who reads with the keyboard or selects text is not disturbed.
    if (!root.contains(document.activeElement) || document.activeElement.tagName === 'H1' || !state.drawn) render();
    if (root.isConnected) timer = setTimeout(load, REFRESH_MS);
  }

  function quotaPanel() {
    const { upstreams, waiting } = state.quota;
    if (upstreams.length === 0) return panel(t('quota.title'), h('p', { class: 'soft' }, t('reason.no_upstream')));
    const one = (upstream) => {
      const words = t('quota.text', { used: upstream.used, budget: upstream.budget, left: upstream.left });
      const forecast = upstream.forecast === null ? t('quota.no_forecast') : t(upstream.forecast > upstream.budget ? 'quota.forecast_over' : 'quota.forecast', { n: upstream.forecast });
      return h(
        'div',
        { class: 'quota' },
        h('h3', {}, upstream.profile),
        stack([{ name: 'used', value: upstream.used }, { name: 'left', value: upstream.left }], words),
        h('p', {}, words),
        h('p', { class: upstream.forecast > upstream.budget ? 'note warn' : 'soft' }, forecast),
        h('p', { class: 'soft' }, t('quota.resets', { time: dateTime(upstream.resets_at) })),
        upstream.open_until && h('p', { class: 'note warn' }, reasonWords('breaker_open', null, upstream.open_until)),
      );
    };
    const deferred = waiting.deferred ?? 0;
    return panel(t('quota.title'), upstreams.map(one), deferred > 0 && h('p', { class: 'soft' }, t('quota.waiting', { n: deferred })));
  }

  function searchesPanel() {
    const found = totals(state.samples, 'tongkuan_searches_total', 'verdict');
    const of = Object.fromEntries(VERDICTS.map((name) => [name, found.get(name) ?? 0]));
    const all = VERDICTS.reduce((sum, name) => sum + of[name], 0);
    const rows = VERDICTS.map((name) => h('li', {}, h('span', { class: `key ${name}` }), t(`state.${name}`), h('b', {}, number(of[name]))));
    const why = [...totals(state.samples, 'tongkuan_reviews_total', 'why')].concat([...totals(state.samples, 'tongkuan_reviews_total', 'reason')]);
    const variants = why.find(([name]) => name === 'other_variant')?.[1] ?? 0;
    if (all === 0) return panel(t('searches.title'), h('p', { class: 'empty' }, t('searches.none')));
    return panel(
      t('searches.title'),
      stack(VERDICTS.map((name) => ({ name, value: of[name] })), t('searches.words', of)),
      h('ul', { class: 'legend-list' }, rows),
      variants > 0 && h('p', { class: 'soft' }, t('searches.variants', { n: variants })),
    );
  }

  function latencyPanel() {
    const all = histograms(state.samples, 'tongkuan_stage_seconds', 'stage');
    const whole = histograms(state.samples, 'tongkuan_http_request_seconds', 'route').get('/v1/search');
    if (whole) all.set('total', whole);
    const stages = [...STAGES, 'total'].filter((stage) => (all.get(stage)?.at(-1)?.count ?? 0) > 0);
    if (stages.length === 0) return panel(t('latency.title'), h('p', { class: 'empty' }, t('searches.none')));
    const row = (stage) => {
      const buckets = all.get(stage);
      const cells = [0.5, 0.95].map((share) => h('td', {}, duration(quantile(buckets, share) * 1000)));
      return h('tr', { class: stage === 'total' ? 'total' : '' }, h('th', { scope: 'row' }, t(`stage.${stage}`)), cells, h('td', {}, number(buckets.at(-1).count)));
    };
    const head = h('tr', {}, h('th', { scope: 'col' }, t('latency.stage')), h('th', { scope: 'col' }, t('latency.half')), h('th', { scope: 'col' }, t('latency.most')), h('th', { scope: 'col' }, t('latency.count')));
    return wide(t('latency.title'), h('table', {}, h('thead', {}, head), h('tbody', {}, stages.map(row))), h('p', { class: 'soft' }, t('latency.hint')));
  }

  function growthPanels() {
    const days = state.stats.by_day ?? [];
    if (days.length === 0) return [panel(t('growth.title'), h('p', { class: 'empty' }, t('growth.none')))];
    const names = days.map(({ day }) => day);
    let before = state.stats.counts.photos - days.reduce((sum, { photos }) => sum + photos, 0);
    const grown = days.map(({ photos }) => (before += photos));
    const [calls, saved] = [days.map((day) => day.calls), days.map((day) => day.saved)];
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    const words = t('calls.words', { days: days.length, calls: sum(calls), saved: sum(saved) });
    return [
      panel(t('growth.title'), course(names, grown, t('growth.words', { days: days.length, from: grown[0], to: grown.at(-1) }))),
      panel(
        t('calls.title'),
        bars(names, [{ name: 'saved', values: saved }, { name: 'calls', values: calls }], words),
        h('ul', { class: 'legend-list' }, h('li', {}, h('span', { class: 'key saved' }), t('calls.saved'), h('b', {}, number(sum(saved)))), h('li', {}, h('span', { class: 'key calls' }), t('calls.made'), h('b', {}, number(sum(calls))))),
      ),
    ];
  }

  function body() {
    if (!state.stats || !state.quota) {
      if (!state.problem) return h('p', { class: 'empty' }, t('loading'));
      return troubleBox(state.problem, againButton(t('error.again'), load));
    }
    const { counts } = state.stats;
    const saved = state.quota.calls_saved;
    return [
      state.problem && h('p', { class: 'note warn', role: 'alert' }, state.problem.words ?? t('error.other')),
      h(
        'div',
        { class: 'tiles' },
        tile(number(saved.ever), t('tile.saved'), t('tile.saved_today', { n: saved.today })),
        tile(number(counts.photos), t('tile.photos'), t('tile.own', { n: counts.own_photos })),
        tile(number(counts.offers), t('tile.offers')),
        tile(number(counts.answers), t('tile.answers')),
      ),
      h('div', { class: 'panels' }, quotaPanel(), searchesPanel(), growthPanels(), latencyPanel()),
      h('p', { class: 'row soft' }, t('overview.read', { age: age(state.readAt) }), h('button', { type: 'button', class: 'quiet', onclick: load }, icon('refresh'), t('overview.refresh'))),
    ];
  }

  function render() {
    state.drawn = Boolean(state.stats);
    root.replaceChildren(h('h1', { tabindex: '-1' }, t('overview.title')), ...[body()].flat().filter(Boolean));
  }

  return { root, render, shown: load };
}
