// The page as a person uses it, in both languages, on a desktop and a phone, light and dark.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, PHONE, audit, edited, openBrowser, openPage } from './browser.mjs';
import { PATIENCE_MS, models, picture, startSandbox, startService, stopAll } from './servers.mjs';

const words = Object.fromEntries(['en', 'zh'].map((language) => [language, JSON.parse(readFileSync(`src/serve/page/${language}.json`))]));
// The first two have each value once.
const ROUNDS = [
  { language: 'en', viewport: DESKTOP, scheme: 'light' },
  { language: 'zh', viewport: PHONE, scheme: 'dark' },
  { language: 'zh', viewport: DESKTOP, scheme: 'light' },
  { language: 'en', viewport: PHONE, scheme: 'dark' },
].slice(0, Number(process.env.PAGE_ROUNDS ?? 4));

let browser;
let sandbox;
let goods;

before(async () => {
  [browser, sandbox] = await Promise.all([openBrowser(), startSandbox()]);
  const all = await models(sandbox);
  const coloured = all.filter((colours) => colours.length > 2);
  const of = (address) => picture(address);
  goods = {
    address: coloured[0][0],
    first: await of(coloured[0][0]),
    otherColour: await of(coloured[0][1]),
    thirdColour: await of(coloured[0][2]),
    others: await Promise.all([of(coloured[2][0]), of(coloured[3][0]), of(coloured[4][0])]),
  };
  goods.edited = await edited(browser, goods.first);
});

after(async () => {
  await browser?.close();
  await stopAll();
});

const jpeg = (name, buffer) => ({ name, mimeType: 'image/jpeg', buffer });

/** What a person sees and does in one language. */
function person(page, language) {
  const w = words[language];
  const text = (key, values = {}) => Object.entries(values).reduce((all, [name, value]) => all.replaceAll(`{${name}}`, value), w[key]);
  return {
    text,
    button: (key) => page.getByRole('button', { name: text(key) }),
    /** Waits until the verdict is this one. */
    sees: (state) => page.locator('.verdict .headline h2', { hasText: text(`state.${state}`) }).waitFor(),
    seesOneOf: (...states) => page.locator('.verdict .headline h2', { hasText: new RegExp(states.map((state) => text(`state.${state}`)).join('|')) }).waitFor(),
    choose: (...files) => page.locator('main input[type=file]').setInputFiles(files),
    view: async (name) => {
      await page.getByRole('link', { name: text(`nav.${name}`) }).first().click();
      await page.locator('nav a[aria-current]', { hasText: text(`nav.${name}`) }).waitFor();
    },
  };
}

const callsUsed = async (url) => (await (await fetch(`${url}/v1/quota`)).json()).upstreams[0].used;

for (const round of ROUNDS) {
  const { language, viewport, scheme } = round;
  describe(`${language}, ${viewport.width} px, ${scheme}`, { timeout: 5 * PATIENCE_MS }, () => {
    let service;
    let opened;
    let page;
    let me;

    before(async () => {
      service = await startService(sandbox);
      opened = await openPage(browser, { ...round, url: service.url });
      ({ page } = opened);
      me = person(page, language);
    });
    after(async () => {
      await opened?.context.close();
    });

    test('it speaks the language of the browser, and says what to do', async () => {
      assert.equal(await page.getAttribute('html', 'lang'), language === 'zh' ? 'zh-Hans' : 'en');
      await page.getByText(me.text('search.drop')).waitFor();
      await audit(page, 'the empty search');
    });

    test('an unknown picture costs nothing until a person asks, and the cost is said first', async () => {
      await me.choose(jpeg('mug.jpg', goods.first));
      await me.sees('miss');
      assert.equal(await callsUsed(service.url), 0);
      const ask = page.locator('.verdict .ask');
      await ask.getByText(me.text('ask.left', { left: 40, budget: 40 })).waitFor();
      await audit(page, 'a miss');
      await page.keyboard.press('a');
      await me.sees('asked');
      assert.equal(await callsUsed(service.url), 1);
      assert.ok((await page.locator('.offer').count()) > 3);
      await page.locator('.quota-pill', { hasText: '39' }).waitFor();
      const before = page.locator('.offer .history').first();
      await before.locator('summary').click();
      await before.locator('li', { hasText: '¥' }).first().waitFor();
      assert.equal(await callsUsed(service.url), 1, 'what was told before costs nothing to see');
      await audit(page, 'offers of 1688');
    });

    test('choosing among offers costs nothing', async () => {
      const all = await page.locator('.offer').count();
      const prices = (await page.locator('.offer .price').allTextContents()).map((price) => Number(price.slice(1)));
      const middle = [...prices].sort((a, b) => a - b)[Math.floor(prices.length / 2)];
      // Folded on a phone.
      if (viewport === PHONE) await page.locator('.tools summary').click();
      await page.getByLabel(me.text('filter.max')).fill(String(middle));
      const fitting = prices.filter((price) => price <= middle).length;
      assert.ok(fitting < all);
      await assertCount(page, '.offer', fitting);
      await page.getByLabel(me.text('filter.order')).selectOption('price');
      const ordered = (await page.locator('.offer .price').allTextContents()).map((price) => Number(price.slice(1)));
      assert.deepEqual(ordered, [...ordered].sort((a, b) => a - b));
      const category = page.getByLabel(me.text('filter.category'));
      await category.selectOption({ index: 1 });
      assert.ok((await page.locator('.offer').count()) > 0);
      await page.getByLabel(me.text('filter.words')).fill('no such words');
      await page.getByText(me.text('offers.none_fit')).waitFor();
      assert.equal(await callsUsed(service.url), 1);
    });

    test('an edited copy is known, with what agrees beside it, and may be asked about anyway', async () => {
      await me.choose(jpeg('cut.jpg', goods.edited));
      await me.sees('hit');
      await page.getByText(me.text('facts.agree'), { exact: true }).waitFor();
      await page.locator('.pair .sheet .frame').or(page.locator('.pair .marks').first()).first().waitFor();
      assert.equal(await page.locator('.pair figure').count(), 2);
      await audit(page, 'a hit');
      await page.keyboard.press('a');
      await me.sees('asked');
      assert.equal(await callsUsed(service.url), 2);
    });

    test('another colour is an answer of its own, with the difference marked, and waits among the reviews', async () => {
      await me.choose(jpeg('blue.jpg', goods.otherColour));
      await me.sees('variant');
      await page.locator('.pair img.marks').first().waitFor();
      assert.equal(await page.locator('.pair img.marks').count(), 2, 'on both pictures');
      await page.getByText(me.text('offers.of_look_alike')).waitFor();
      await page.keyboard.press('m');
      await page.locator('.pair.no-marks').waitFor();
      await page.keyboard.press('m');
      await audit(page, 'another colour');
    });

    test('reviews are worked off by keyboard, and taken back', async () => {
      await page.keyboard.press('3');
      await page.locator('.pair img.marks').first().waitFor();
      await audit(page, 'a review');
      await page.keyboard.press('n');
      await page.getByText(me.text('reviews.none')).waitFor();
      await audit(page, 'no reviews');
      const said = async () => (await (await fetch(`${service.url}/v1/verdicts`)).text()).trim().split('\n').slice(1).map((line) => JSON.parse(line).same);
      assert.deepEqual(await said(), [false]);
      await page.keyboard.press('u');
      await page.locator('.decide').waitFor();
      assert.deepEqual(await said(), []);
      await page.keyboard.press('s');
      await page.getByText(me.text('reviews.none')).waitFor();
      assert.deepEqual(await said(), [true]);
      await page.keyboard.press('u');
      await page.locator('.decide').waitFor();
    });

    test('what a person says in the search is remembered, and undone', async () => {
      await me.view('search');
      await me.choose(jpeg('green.jpg', goods.thirdColour));
      await me.sees('variant');
      await page.keyboard.press('s');
      await page.locator('.said', { hasText: me.text('said.same') }).waitFor();
      await me.sees('hit');
      await audit(page, 'a word that was given');
      await me.button('said.undo').click();
      await page.locator('.said').waitFor({ state: 'detached' });
      await page.locator('.verdict .headline:not(.busy)').waitFor();
    });

    test('a picture is taken by its address, pasted, and dropped', async () => {
      await page.getByLabel(me.text('search.address')).fill(goods.address);
      await page.getByRole('button', { name: me.text('search.go') }).click();
      await me.sees('hit');
      await page.locator('.pair img').first().waitFor();
      await page.getByLabel(me.text('search.address')).fill('mug');
      await page.keyboard.press('Enter');
      await page.getByText(me.text('search.bad_address')).waitFor();
      for (const kind of ['paste', 'drop']) {
        await page.evaluate(
          ([type, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File([bytes], `${type}.jpg`, { type: 'image/jpeg' }));
            const event = type === 'paste' ? new ClipboardEvent(type, { clipboardData: held, bubbles: true, cancelable: true }) : new DragEvent(type, { dataTransfer: held, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
          },
          [kind, goods.first.toString('base64')],
        );
        await page.locator('.pair figcaption', { hasText: `${kind}.jpg` }).waitFor();
        await me.sees('hit');
      }
    });

    test('what is wrong is said in words, with a way on', async () => {
      await me.choose({ name: 'notes.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('<html>no picture</html>') });
      await page.getByText(me.text('error.not_a_picture')).waitFor();
      await audit(page, 'an error');
      await page.getByLabel(me.text('search.address')).fill(`${sandbox.base_url}/img/1/main.jpg`);
      await page.keyboard.press('Enter');
      await page.getByText(me.text('error.http_status')).waitFor();
      await me.choose(jpeg('mug.jpg', goods.first));
      await me.sees('hit');
    });

    test('a wider search says what it may cost before it is chosen, and what each place has brought', async () => {
      await me.choose(jpeg('wide.jpg', goods.others[1]));
      await me.seesOneOf('miss', 'review', 'variant');
      assert.equal(await page.locator('.wide .ask').count(), 0, 'there is one upstream, and nothing is suggested yet');
      await page.keyboard.press('a');
      await me.sees('asked');
      const usedBefore = await callsUsed(service.url);
      const wide = page.locator('.wide .ask');
      await wide.getByText(me.text('wide.none')).waitFor();
      assert.ok(await wide.locator('button').isDisabled());
      await wide.locator('[data-wide=parts]').check();
      await wide.locator('button:enabled').waitFor();
      assert.equal(await callsUsed(service.url), usedBefore, 'a choice costs nothing');
      await audit(page, 'a wider search');
      const [promised] = (await wide.locator('button small').textContent()).match(/\d+/);
      await page.keyboard.press('w');
      await page.locator('.brought').waitFor();
      const cost = (await callsUsed(service.url)) - usedBefore;
      assert.ok(cost >= 1 && cost <= Number(promised), `${cost} of ${promised}`);
      await page.locator('.brought summary').click();
      assert.ok((await page.locator('.brought li').filter({ visible: true }).count()) >= 2);
      assert.equal(await page.locator('.wide .ask').count(), 0);
    });

    test('many pictures get a line each, and those not known are asked about after the cost was said', async () => {
      await me.view('many');
      await audit(page, 'the empty list');
      const files = [goods.first, goods.edited, goods.otherColour, ...goods.others].map((bytes, n) => jpeg(`${n}.jpg`, bytes));
      await me.choose(...files, { name: 'bad.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no') });
      await page.getByText(me.text('many.progress', { done: 7, n: 7 })).waitFor();
      await assertCount(page, '.lines li', 7);
      await assertCount(page, '.lines .pill.error', 1);
      await audit(page, 'a list');
      const usedBefore = await callsUsed(service.url);
      const open = await page.locator('.lines .pill.miss, .lines .pill.variant, .lines .pill.review').count();
      assert.ok(open >= 2);
      await page.locator('.ask', { hasText: me.text('ask.cost', { n: open }) }).waitFor();
      assert.equal(await callsUsed(service.url), usedBefore);
      const saving = page.waitForEvent('download');
      await me.button('many.csv').click();
      const csv = readFileSync(await (await saving).path(), 'utf8');
      assert.equal(csv.trim().split('\r\n').length, 8);
      await page.locator('.chip.error').click();
      await assertCount(page, '.lines li', 1);
      await page.locator('.chip').first().click();
      await page.locator('.ask button').click();
      await page.waitForSelector('.lines .pill.waiting, .lines .pill.busy', { state: 'detached' });
      assert.equal(await page.locator('.ask').count(), 0);
      await assertCount(page, '.lines .pill.miss, .lines .pill.variant, .lines .pill.review', 0);
      // A good that an earlier answer has brought is not asked about again.
      const asked = await page.locator('.lines .pill.asked').count();
      assert.ok(asked >= 1);
      assert.equal((await callsUsed(service.url)) - usedBefore, asked);
      await page.locator('.entry').first().click();
      await me.sees('hit');
    });

    test('the overview shows what was saved, what is left, how fast, and how it grew', async () => {
      await me.view('overview');
      await page.locator('.tiles').waitFor();
      await page.getByText(me.text('stage.total')).waitFor();
      assert.equal(await page.locator('svg.chart').count(), 2);
      assert.match(await page.locator('.quota').textContent(), /40/);
      await audit(page, 'the overview');
    });

    test('language and colours are chosen, and remembered', async () => {
      const other = language === 'zh' ? 'en' : 'zh';
      await page.locator('.language').click();
      await page.getByRole('heading', { name: words[other]['overview.title'], level: 1 }).waitFor();
      await page.reload();
      await page.getByRole('heading', { name: words[other]['overview.title'], level: 1 }).waitFor();
      assert.equal(await page.getAttribute('html', 'lang'), other === 'zh' ? 'zh-Hans' : 'en');
      await page.getByRole('button', { name: words[other]['theme.auto'] }).click();
      await page.getByRole('button', { name: words[other]['theme.light'] }).click();
      await page.reload();
      assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
      await page.locator('.language').click();
      await page.getByRole('heading', { name: me.text('overview.title'), level: 1 }).waitFor();
    });

    test('everything is reached with the keyboard, and help says how', async () => {
      await me.view('search');
      await page.keyboard.press('?');
      await page.getByRole('dialog').waitFor();
      await audit(page, 'the help');
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.evaluate(() => document.activeElement.blur());
      const reached = [];
      for (let press = 0; press < 25; press += 1) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
          const element = document.activeElement;
          const style = getComputedStyle(element);
          // After the last one, the browser's own controls.
          if (element === document.body) return { name: '', isShown: true };
          return { name: element.id || element.textContent.trim() || element.getAttribute('aria-label'), isShown: style.outlineStyle !== 'none' };
        });
        assert.ok(at.isShown, `the focus is to be seen at ${at.name}`);
        reached.push(at.name);
      }
      assert.ok(reached.includes(me.text('skip')), reached.join(' | '));
      assert.ok(reached.includes('address'), reached.join(' | '));
      assert.ok(reached.some((name) => name.includes(me.text('search.choose'))), reached.join(' | '));
    });

    test('a server with keys is told one, which stays in the tab, and says what it may', async () => {
      const key = service.run('keys', 'add', 'buyer', '--rights', 'read').trim();
      await page.reload();
      const dialog = page.getByRole('dialog');
      await dialog.waitFor();
      await audit(page, 'the question for a key');
      await page.getByLabel(me.text('key.label')).fill('tk_wrong');
      await page.keyboard.press('Enter');
      await page.getByText(me.text('key.refused')).waitFor();
      await page.getByLabel(me.text('key.label')).fill(key);
      await page.keyboard.press('Enter');
      await dialog.waitFor({ state: 'detached' });
      await me.choose(jpeg('new.jpg', await edited(browser, goods.others[0], 0.3)));
      await page.locator('.verdict .headline:not(.busy)').waitFor();
      // A picture that is known has a second one: for the next page of offers.
      await page.locator('.ask', { hasText: me.text('reason.key_may_not_spend') }).first().waitFor();
      for (const button of await page.locator('.ask button').all()) assert.ok(await button.isDisabled());
      const kept = await page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage)]);
      assert.ok(!kept[0].includes(key) && kept[1].includes(key));
    });

    test('nothing was loaded from elsewhere, and no script failed', () => {
      assert.deepEqual(opened.wrong, []);
    });
  });
}

/** So many elements that are to be seen, as soon as they are there. */
async function assertCount(page, selector, count) {
  const shown = page.locator(selector).filter({ visible: true });
  if (count > 0) await shown.nth(count - 1).waitFor();
  await shown.nth(count).waitFor({ state: 'hidden' });
  assert.equal(await shown.count(), count, selector);
}
