// A sandbox and services on free ports, each on a home of its own, and everything ended afterwards.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAM = process.env.TONGKUAN_BINARY ?? 'target/debug/tongkuan';
/** Of one thing that is waited for; a busy machine is no fault. */
export const PATIENCE_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'tongkuan-page-'));
const running = [];
let homes = 0;

/** Starts a command that prints its address as a line of JSON. */
async function start(args, env) {
  const child = spawn(PROGRAM, ['--json', ...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  let log = '';
  child.stderr.on('data', (data) => (log = (log + data).slice(-4000)));
  const lines = createInterface({ input: child.stdout });
  return new Promise((done, failed) => {
    lines.once('line', (line) => done(JSON.parse(line)));
    child.once('exit', (code) => failed(new Error(`${args[0]} ended (${code}): ${log}`)));
  });
}

/** The local 1688, after its first search: for that one it draws all its goods. */
export async function startSandbox() {
  const sandbox = await start(['sandbox', '--port', '0', '--min-interval-ms', '0'], {});
  const [[first]] = await models(sandbox);
  const query = new URLSearchParams({ apiToken: sandbox.app_secret, img_url: first });
  await picture(`${sandbox.base_url}/1688/search/image?${query}`);
  return sandbox;
}

function settings(sandbox) {
  homes += 1;
  return {
    TONGKUAN_HOME: join(folder, `home-${homes}`),
    TONGKUAN_BASE_URL: sandbox.base_url,
    TONGKUAN_APP_KEY: sandbox.app_key,
    TONGKUAN_APP_SECRET: sandbox.app_secret,
    // This dialect tells categories.
    TONGKUAN_UPSTREAM: 'aop',
    TONGKUAN_REFRESH_TOKEN: sandbox.refresh_token,
    TONGKUAN_DAILY_BUDGET: '40',
  };
}

/** A service on an empty home, that has looked at a picture and can answer. `run` runs the program on the same home. */
export async function startService(sandbox) {
  const env = settings(sandbox);
  const run = (...args) => execFileSync(PROGRAM, args, { env: { ...process.env, ...env }, encoding: 'utf8' });
  const { base_url: url } = await start(['serve', '--listen', '127.0.0.1:0', '--no-background'], env);
  const until = Date.now() + PATIENCE_MS;
  while ((await fetch(`${url}/readyz`)).status !== 200) {
    if (Date.now() > until) throw new Error('the service did not become ready');
    await new Promise((done) => setTimeout(done, 100));
  }
  return { url, run };
}

/** The sandbox's goods: a list for each model, one picture's address for each colour of it. */
export async function models(sandbox) {
  const gallery = await (await fetch(sandbox.base_url)).text();
  const groups = gallery.split('<div class="model">').slice(1);
  return groups.map((group) => [...group.matchAll(/src="(\/img\/\d+\/main\.jpg)"/g)].map(([, path]) => sandbox.base_url + path));
}

export async function picture(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

/** Ends all that was started, and takes away what it left. */
export async function stopAll() {
  await Promise.all(
    running.map((child) => {
      if (child.exitCode !== null) return null;
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5000);
      return ended.finally(() => clearTimeout(late));
    }),
  );
  rmSync(folder, { recursive: true, force: true });
}
