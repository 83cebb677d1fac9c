// A real browser, and what every page is held against: no finding of axe, no request elsewhere, no error, no sideways scrolling.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { PATIENCE_MS } from './servers.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };

export const openBrowser = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

/** A page that notes what must not happen. */
export async function openPage(browser, { language, viewport, scheme, url }) {
  const context = await browser.newContext({ locale: language === 'zh' ? 'zh-CN' : 'en-GB', viewport, colorScheme: scheme, reducedMotion: 'reduce', isMobile: false });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack ?? error}`));
  page.on('console', (message) => {
    // The browser itself writes a line for each refusal of the server; those are shown to people, and looked at in the tests.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) wrong.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!['blob:', 'data:'].includes(protocol) && origin !== new URL(url).origin) wrong.push(`elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  await page.locator('header.top').waitFor();
  return { context, page, wrong };
}

/** Axe in both colour schemes, and nothing that hangs over the side. */
export async function audit(page, where) {
  const scheme = await page.evaluate(() => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
  for (const next of scheme === 'dark' ? ['light', 'dark'] : ['dark', 'light']) {
    await page.emulateMedia({ colorScheme: next });
    // Playwright's own door: the page's policy lets no other script in.
    const { violations } = await page.evaluate(`${AXE}; axe.run(document, { resultTypes: ['violations'] })`);
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.slice(0, 3).map((node) => `${node.html}\n  ${node.failureSummary}`).join('\n  ')}`);
    assert.equal(told.join('\n'), '', `axe at ${where}, ${next}`);
  }
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= room, `${where} is ${wide} px wide in ${room} px`);
}

/** A picture changed as people change them, by the browser: cut on all sides, and saved anew. */
export async function edited(browser, bytes, cut = 0.06) {
  const page = await browser.newPage();
  const changed = await page.evaluate(
    async ([base64, share]) => {
      const blob = await (await fetch(`data:image/jpeg;base64,${base64}`)).blob();
      const image = await createImageBitmap(blob);
      const [w, h] = [image.width * (1 - 2 * share), image.height * (1 - 2 * share)];
      const canvas = new OffscreenCanvas(Math.round(w * 0.8), Math.round(h * 0.8));
      canvas.getContext('2d').drawImage(image, image.width * share, image.height * share, w, h, 0, 0, canvas.width, canvas.height);
      const out = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 })).arrayBuffer());
      return btoa(Array.from(out, (byte) => String.fromCharCode(byte)).join(''));
    },
    [bytes.toString('base64'), cut],
  );
  await page.close();
  return Buffer.from(changed, 'base64');
}
