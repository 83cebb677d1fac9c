// The page where answers are late, fail or are many: what the service says is said by the test.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, openBrowser } from './browser.mjs';
import { PATIENCE_MS, startSandbox, startService, stopAll } from './servers.mjs';

const words = Object.fromEntries(['en', 'zh'].map((language) => [language, JSON.parse(readFileSync(`src/serve/page/${language}.json`))]));
const text = (key, values = {}) => Object.entries(values).reduce((all, [name, value]) => all.replaceAll(`{${name}}`, value), words.en[key]);
const picture = (name) => ({ name, mimeType: 'image/jpeg', buffer: Buffer.from(name) });
const explain = { photo_id: null, score: null };
const miss = { verdict: 'miss', source: 'none', offers: [], explain, upstream_calls: 0, warnings: [] };
const asked = { ...miss, source: 'upstream', upstream_calls: 1 };
const failed = { ...miss, unanswered: { reason: 'upstream_failed', message: 'connection refused', retry_at: null } };
const account = { key: null, upstreams: [{ left: 1498, budget: 1500, used: 2, open_until: null }] };

describe('answers of the test', { timeout: 5 * PATIENCE_MS }, () => {
  let browser;
  let service;

  before(async () => {
    let sandbox;
    [browser, sandbox] = await Promise.all([openBrowser(), startSandbox()]);
    service = await startService(sandbox);
  });
  after(async () => {
    await browser?.close();
    await stopAll();
  });

  /** A page whose requests of the account and of reviews are answered here. */
  async function open({ language = 'en', viewport = DESKTOP, reviews = [] } = {}) {
    const context = await browser.newContext({ locale: language === 'zh' ? 'zh-CN' : 'en-GB', viewport, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.route('**/v1/quota', (route) => route.fulfill({ json: account }));
    await page.route('**/v1/reviews?*', (route) => route.fulfill({ json: { open: 128, reviews } }));
    await page.route('**/v1/reviews/*/comparison', (route) => route.fulfill({ status: 404, json: {} }));
    await page.goto(service.url);
    await page.locator('.quota-pill').waitFor();
    return page;
  }

  test('an asking that failed says why, and asks anew when it is repeated, with progress, a pause and the focus', async () => {
    const page = await open();
    const keys = [];
    let answer = failed;
    let goOn = [];
    await page.route('**/v1/search?*', async (route) => {
      if (new URL(route.request().url()).searchParams.has('known')) return route.fulfill({ json: miss });
      keys.push(await route.request().headerValue('idempotency-key'));
      await new Promise((done) => goOn.push(done));
      return route.fulfill({ json: answer });
    });
    const release = () => {
      for (const done of goOn) done();
      goOn = [];
    };
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await page.locator('nav a[data-view=many]').click();
    await page.locator('main input[type=file]').setInputFiles(['a.jpg', 'b.jpg', 'c.jpg'].map(picture));
    await page.getByText(text('many.progress', { done: 3, n: 3 })).waitFor();
    await page.locator('.ask button').click();
    await page.getByText(text('many.progress', { done: 0, n: 3 })).waitFor();
    assert.equal(await page.locator('.lines .pill.busy').count(), 2);
    assert.equal(await page.locator('.lines .pill.waiting').count(), 1);
    assert.equal(await focused(), text('many.pause'));
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: text('many.go_on') }).waitFor();
    while (goOn.length < 2) await page.waitForTimeout(10);
    release();
    await page.getByText(text('many.progress', { done: 2, n: 3 })).waitFor();
    assert.equal(keys.length, 2, 'nothing is asked in a pause');
    await page.keyboard.press('Enter');
    while (goOn.length < 1) await page.waitForTimeout(10);
    release();
    await page.getByText(text('many.progress', { done: 3, n: 3 })).waitFor();
    await page.locator('.lines li', { hasText: text('reason.upstream_failed') }).nth(2).waitFor();
    assert.equal(await focused(), text('many.progress', { done: 3, n: 3 }));
    answer = asked;
    await page.locator('.ask button').click();
    for (const calls of [2, 1]) {
      while (goOn.length < calls) await page.waitForTimeout(10);
      release();
    }
    await page.locator('.lines .pill.asked').nth(2).waitFor();
    assert.equal(new Set(keys).size, 6, 'each asking has a key of its own');
    await page.context().close();
  });

  test('a review that is decided goes, whichever is looked at by then', async () => {
    const review = (id) => ({ review_id: id, label: `${id}.jpg`, found_at: '2026-11-28T00:00:00Z', matched: { kind: 'query', label: `stored ${id}` }, facts: { why: 'uncertain', confidence: 0.5, threshold: 0.9 } });
    const page = await open({ reviews: [1, 2, 3].map(review) });
    let goOn;
    const decided = [];
    await page.route('**/v1/reviews/*', async (route) => {
      decided.push(new URL(route.request().url()).pathname.split('/').pop());
      await new Promise((done) => (goOn = done));
      return route.fulfill({ json: {} });
    });
    await page.locator('nav a[data-view=reviews]').click();
    const shows = (id) => page.locator('.pair figcaption', { hasText: `${id}.jpg` }).waitFor();
    await shows(1);
    await page.keyboard.press('s');
    while (!goOn) await page.waitForTimeout(10);
    await page.keyboard.press('j');
    await shows(2);
    goOn();
    await page.locator('.bar [data-key=u]').waitFor();
    await shows(2);
    await page.keyboard.press('j');
    await shows(3);
    await page.keyboard.press('j');
    await shows(2);
    assert.deepEqual(decided, ['1']);
    await page.context().close();
  });

  test('an address that names no view shows the search', async () => {
    const page = await open();
    for (const name of ['constructor', 'toString', 'nothing']) {
      await page.goto(`${service.url}/#/${name}`);
      await page.reload();
      await page.getByRole('heading', { name: text('search.title'), level: 1 }).waitFor();
    }
    await page.context().close();
  });

  test('no word of the frame breaks and nothing of it hangs over, however wide the window is', async () => {
    for (const language of ['en', 'zh']) {
      const page = await open({ language });
      for (const withKey of [false, true]) {
        if (withKey) {
          await page.evaluate(() => sessionStorage.setItem('tongkuan.key', 'x'));
          await page.reload();
          await page.locator('.quota-pill').waitFor();
        }
        await page.locator('.badge-count').waitFor();
        for (const width of [320, 350, 351, 360, 390, 640, 641, 720, 721, 768, 800, 801, 900, 901, 1020, 1021, 1024, 1280]) {
          await page.setViewportSize({ width, height: 800 });
          const wrong = await page.evaluate(() => {
            const shown = [...document.querySelectorAll('.top .brand > *, .top nav a > span, .top-end > *')].filter((element) => element.offsetWidth > 1);
            const isBroken = (element) => {
              const range = document.createRange();
              range.selectNodeContents(element);
              const tops = [...range.getClientRects()].map((box) => box.top);
              return Math.max(...tops) - Math.min(...tops) > 12;
            };
            const hangsOver = (element) => element.getBoundingClientRect().right > innerWidth + 0.5;
            const end = document.querySelector('.top-end').getBoundingClientRect();
            const before = document.querySelector(innerWidth > 640 ? '.top nav' : '.brand').getBoundingClientRect();
            return [...shown.filter((element) => isBroken(element) || hangsOver(element)).map((element) => element.textContent), ...(before.right > end.left ? ['one over the other'] : [])];
          });
          assert.deepEqual(wrong, [], `${language}, ${width} px, ${withKey ? 'with' : 'without'} a key`);
        }
      }
      await page.context().close();
    }
  });
});
