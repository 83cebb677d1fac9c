// Takes the pictures of docs/screenshots anew: `TONGKUAN_BINARY=target/debug/tongkuan node tests/page/screenshots.mjs FOLDER`.
// The goods on them are the sandbox's, drawn by this project. `pngquant` makes the files small afterwards. With `--all` behind the
// folder, every view is taken in both languages, on a desktop and on a phone, from top to bottom: to be looked at, not to be kept.

import { join } from 'node:path';
import { DESKTOP, PHONE, edited, openBrowser, openPage } from './browser.mjs';
import { models, picture, startSandbox, startService, stopAll } from './servers.mjs';

const folder = process.argv[2] ?? 'docs/screenshots';
const jpeg = (name, buffer) => ({ name, mimeType: 'image/jpeg', buffer });
const browser = await openBrowser();

try {
  const sandbox = await startSandbox();
  const service = await startService(sandbox);
  const all = (await models(sandbox)).filter((colours) => colours.length > 2);
  const first = await picture(all[0][0]);

  const settled = (page) => page.locator('.verdict .headline:not(.busy)').waitFor();
  const shoot = async (page, name) => {
    await page.locator('img').evaluateAll((images) => Promise.all(images.map((image) => image.decode().catch(() => {}))));
    await page.screenshot({ path: join(folder, `${name}.png`) });
  };
  const choose = async (page, ...files) => page.locator('main input[type=file]').setInputFiles(files);
  const open = (language, viewport, scheme) => openPage(browser, { language, viewport, scheme, url: service.url });

  /** Has 1688 asked about a good, under a name. */
  const ask = async (name, address) => {
    const body = new FormData();
    body.append('image', new Blob([await picture(address)]), name);
    const response = await fetch(`${service.url}/v1/search`, { method: 'POST', body });
    if (!response.ok) throw new Error(await response.text());
  };
  await ask('mug-red.jpg', all[0][0]);
  await ask('kettle-classic.jpg', all[14][0]);
  await ask('bag-star.jpg', all[30][0]);

  const phone = (await open('en', PHONE, 'light')).page;
  await choose(phone, jpeg('mug-blue.jpg', await picture(all[0][1])));
  await settled(phone);
  await phone.locator('.pair .marks').first().waitFor();
  await shoot(phone, 'variant-phone');

  const chinese = (await open('zh', DESKTOP, 'dark')).page;
  await chinese.locator('nav a[data-view=reviews]').click();
  await chinese.locator('.pair .marks').first().waitFor();
  await shoot(chinese, 'reviews-zh-dark');

  const english = (await open('en', DESKTOP, 'light')).page;
  const named = async (model, colour, n) => jpeg(`IMG_20${41 + n}.jpg`, await picture(all[model][colour]));
  const many = [[0, 0], [0, 2], [3, 0], [14, 0], [14, 1], [20, 0], [25, 1], [30, 0], [30, 2], [33, 0]];
  await choose(english, ...(await Promise.all(many.map(([model, colour], n) => named(model, colour, n)))));
  await english.waitForSelector('.pill.waiting, .pill.busy', { state: 'detached' });
  await shoot(english, 'many');

  // From now on offers have pictures.
  service.run('harvest');
  await english.locator('nav a[data-view=search]').click();
  await choose(english, jpeg('red-mug-from-chat.jpg', await edited(browser, first, 0.08)));
  await settled(english);
  await english.locator('.pair .marks').first().waitFor();
  await english.locator('.offer img').first().waitFor();
  await shoot(english, 'hit');

  await chinese.locator('nav a[data-view=overview]').click();
  await chinese.locator('.tiles').waitFor();
  await shoot(chinese, 'overview-zh-dark');

  const shapes = [DESKTOP, PHONE].flatMap((viewport) => ['en', 'zh'].map((language) => [viewport, language]));
  for (const [viewport, language] of process.argv.includes('--all') ? shapes : []) {
    const { page } = await open(language, viewport, language === 'zh' ? 'dark' : 'light');
    const take = async (view) => {
      await page.locator('img').evaluateAll((images) => Promise.all(images.map((image) => image.decode().catch(() => {}))));
      await page.screenshot({ path: join(folder, `${view}-${language}-${viewport.width}.png`), fullPage: true });
    };
    const go = (view) => page.locator(`nav a[data-view=${view}]`).click();
    await take('search');
    await choose(page, jpeg('mug-blue.jpg', await picture(all[0][1])));
    await settled(page);
    await page.locator('.pair .marks').first().waitFor();
    await take('variant');
    await go('search');
    await choose(page, jpeg('red-mug-from-chat.jpg', await edited(browser, first, 0.08)));
    await settled(page);
    await page.locator('.offer img').first().waitFor();
    await take('hit');
    await choose(page, ...(await Promise.all(many.map(([model, colour], n) => named(model, colour, n)))));
    await page.waitForSelector('.pill.waiting, .pill.busy', { state: 'detached' });
    await take('many');
    await go('reviews');
    await page.locator('.pair .marks').first().waitFor();
    await take('reviews');
    await go('overview');
    await page.locator('.tiles').waitFor();
    await take('overview');
  }
} finally {
  await browser.close();
  await stopAll();
}
