// What the server is asked, with the key where one is needed, and what it refuses, in words.

import { has, t } from './i18n.js';

const KEY = 'tongkuan.key';
/** Small pictures that are kept in memory. */
const MAX_THUMBS = 500;

let key = null;
let askForKey = async () => null;
const thumbs = new Map();

/** Why the server did not answer as wished: problem details, or a connection that failed. */
export class Problem extends Error {
  constructor({ code, detail, status = 0, retryAfterSecs = 0, calls = 0 }) {
    super(detail);
    Object.assign(this, { code, status, retryAfterSecs, calls });
  }

  /** For people, with what to do. */
  get words() {
    return has(`error.${this.code}`) ? t(`error.${this.code}`) : this.message || t('error.other');
  }
}

/** `ask(wasRefused)` gets a key from a person, or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export function currentKey() {
  try {
    return key ?? sessionStorage.getItem(KEY);
  } catch {
    return key;
  }
}

/** Keeps a key until the browser's tab is closed; null forgets it. */
export function setKey(next) {
  key = next;
  try {
    if (next) sessionStorage.setItem(KEY, next);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Held above.
  }
}

let asking = null;

async function withKey(send) {
  const response = await send();
  if (response.status !== 401) return response;
  const used = currentKey();
  // All requests that are refused at once wait for the one answer.
  asking ??= askForKey(used !== null).finally(() => (asking = null));
  const given = await asking;
  return given && given !== used ? withKey(send) : response;
}

async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem({
    code: body.code ?? 'other',
    detail: body.detail ?? response.statusText,
    status: response.status,
    retryAfterSecs: Number(response.headers.get('retry-after') ?? 0),
    calls: body.upstream_calls ?? 0,
  });
}

/** The response, where the server grants it; else a Problem is thrown. */
export async function send(path, options = {}) {
  const attempt = async () => {
    const headers = new Headers(options.headers);
    const known = currentKey();
    if (known) headers.set('x-api-key', known);
    try {
      return await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem({ code: 'no_connection', detail: error.message });
    }
  };
  const response = await withKey(attempt);
  if (!response.ok) throw await problemOf(response);
  return response;
}

const asJson = (value) => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });

const json = async (path, options) => (await send(path, options)).json();

/** A name that the server takes: at most 256 bytes. */
const nameOf = (file) => (file.name || 'picture').slice(-80);

/** What is sent of a picture: `{ file }` or `{ url }`. */
function bodyOf(picture) {
  if (picture.url) return asJson({ url: picture.url });
  const form = new FormData();
  form.append('image', picture.file, nameOf(picture.file));
  return { method: 'POST', body: form };
}

/** A word that makes a repeated request get the first answer: what was paid for is not paid for twice. */
export function newRequestKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export function search(picture, options, { signal, requestKey } = {}) {
  const wanted = Object.entries(options).filter(([, value]) => value !== undefined && value !== '' && value !== null);
  const request = { ...bodyOf(picture), signal };
  if (requestKey) request.headers = { ...request.headers, 'idempotency-key': requestKey };
  return json(`/v1/search?${new URLSearchParams(wanted)}`, request);
}

export const compare = (picture, photoId, signal) => json(`/v1/compare/${photoId}`, { ...bodyOf(picture), signal });

export const offerHistory = async (offerId) => (await json(`/v1/offers/${encodeURIComponent(offerId)}/history`)).history;
export const quota = () => json('/v1/quota');
export const stats = (days) => json(`/v1/stats?days=${days}`);
export const metrics = async () => (await send('/metrics')).text();
export const reviews = (after, limit) => json(`/v1/reviews?after=${after}&limit=${limit}`);
export const comparedReview = (id, signal) => json(`/v1/reviews/${id}/comparison`, { signal });
export const decideReview = (id, same) => json(`/v1/reviews/${id}`, asJson({ same }));
export const putAside = (id) => json(`/v1/reviews/${id}`, { method: 'DELETE' });
export const storedPictures = async (urls) => (await json('/v1/pictures/by-address', asJson({ urls }))).pictures;

/** Says of a picture and a stored photo whether they are the same; null takes it back. */
export async function tell(picture, photoId, same) {
  const one = picture.url ? { url: picture.url } : { image: await base64(picture.file), label: nameOf(picture.file) };
  return json('/v1/verdicts', asJson({ one, other: { photo_id: photoId }, same }));
}

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** An address for `<img>` of a stored photo's small picture; null where there is none. */
export function thumb(photoId) {
  if (!thumbs.has(photoId)) {
    if (thumbs.size >= MAX_THUMBS) {
      const [oldest, address] = thumbs.entries().next().value;
      thumbs.delete(oldest);
      address.then((url) => url && URL.revokeObjectURL(url));
    }
    const made = send(`/v1/pictures/${photoId}/thumbnail`)
      .then((response) => response.blob())
      .then((blob) => URL.createObjectURL(blob))
      .catch(() => {
        thumbs.delete(photoId);
        return null;
      });
    thumbs.set(photoId, made);
  }
  return thumbs.get(photoId);
}
