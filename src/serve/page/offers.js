// Offers as cards, and choosing among them. Choosing costs nothing: it is among those that are here.

import * as api from './api.js';
import { course } from './charts.js';
import { announce, h, icon } from './dom.js';
import { age, dateTime, money, number, t } from './i18n.js';

const ORDERS = ['given', 'price', 'price_down', 'min_order', 'sold'];
/** Cards that are drawn at first; a button draws as many more. */
const DRAWN = 60;

/** `https` and `http` alone: an offer's address comes from elsewhere. */
function webAddress(text) {
  try {
    const url = new URL(text);
    return ['https:', 'http:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const priceOf = (offer) => (offer.price === null ? null : Number(offer.price));

function compareBy(order) {
  const by = {
    price: (offer) => priceOf(offer) ?? Infinity,
    price_down: (offer) => -(priceOf(offer) ?? -Infinity),
    min_order: (offer) => offer.min_order_quantity ?? Infinity,
    sold: (offer) => -(offer.month_sold ?? -1),
  }[order];
  // The order that they came in is kept among equals.
  return by ? (a, b) => by(a) - by(b) || 0 : null;
}

/** Those of `offers` that fit all that was chosen, in the chosen order. */
export function chosen(offers, { words, category, min, max, pieces, order }) {
  const wanted = words.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (offer) => {
    const price = priceOf(offer);
    const title = `${offer.title} ${offer.supplier.company_name ?? ''}`.toLowerCase();
    return (
      wanted.every((word) => title.includes(word)) &&
      (!category || (offer.category_ids ?? []).includes(Number(category))) &&
      (min === '' || (price !== null && price >= Number(min))) &&
      (max === '' || (price !== null && price <= Number(max))) &&
      (pieces === '' || offer.min_order_quantity === null || offer.min_order_quantity <= Number(pieces))
    );
  };
  const fitting = offers.filter(fits);
  const compare = compareBy(order);
  return compare ? fitting.sort(compare) : fitting;
}

/** What the offer cost over time; asked for when it is opened. */
function priceHistory(offer) {
  const place = h('div', {});
  const show = async (event) => {
    if (!event.target.open || place.hasChildNodes()) return;
    place.append(h('p', { class: 'soft' }, t('history.loading')));
    try {
      place.replaceChildren(...drawnHistory(await api.offerHistory(offer.offer_id)));
    } catch (problem) {
      place.replaceChildren(h('p', { class: 'soft' }, problem.message));
    }
  };
  return h('details', { class: 'history', ontoggle: show }, h('summary', {}, t('history.title'), h('span', { class: 'unseen' }, ` ${offer.title}`)), place);
}

function drawnHistory(history) {
  if (history.length === 0) return [h('p', { class: 'soft' }, t('history.none'))];
  const told = history.filter(({ price }) => price !== null);
  const lines = history.slice(-12).reverse().map(({ since, price, min_order_quantity: least }) =>
    h('li', {}, `${dateTime(since)}  ${price === null ? t('offer.no_price') : money(price)}`, least !== null && ` · ${t('offer.min', { n: least })}`),
  );
  const drawn = told.length > 1 && course(told.map(({ since }) => since.slice(0, 10)), told.map(({ price }) => Number(price)), t('history.drawn', { n: told.length }));
  return [drawn, h('ul', {}, lines)].filter(Boolean);
}

function card(offer, photoId) {
  const address = webAddress(offer.detail_url);
  const place = h('div', { class: 'thumb' }, icon('picture'));
  if (photoId) {
    api.thumb(photoId).then((src) => src && place.replaceChildren(h('img', { src, alt: '' })));
  }
  const price = offer.price === null ? h('span', { class: 'soft' }, t('offer.no_price')) : h('b', { class: 'price' }, money(offer.price));
  const facts = [
    offer.min_order_quantity !== null && t('offer.min', { n: offer.min_order_quantity }),
    offer.month_sold > 0 && t('offer.sold', { n: offer.month_sold }),
  ];
  const supplier = [offer.supplier.company_name, offer.supplier.credit_level && t('offer.credit', { level: offer.supplier.credit_level })].filter(Boolean).join(' · ');
  const title = address
    ? h('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, offer.title, icon('link'), h('span', { class: 'unseen' }, t('offer.new_tab')))
    : offer.title;
  return h(
    'li',
    { class: 'offer' },
    place,
    h(
      'div',
      { class: 'about' },
      h('h3', {}, title),
      h('p', { class: 'figures' }, price, facts.filter(Boolean).map((text) => h('span', {}, text))),
      supplier && h('p', { class: 'soft supplier' }, supplier),
      offer.seen_at && h('p', { class: 'soft', title: dateTime(offer.seen_at) }, t('offer.seen', { age: age(offer.seen_at) })),
      offer.seen_at && priceHistory(offer),
    ),
  );
}

/** The photos of offers' pictures, by offer: of those that are stored. */
async function pictured(offers, ownPhotoId) {
  const found = new Map();
  const urls = [...new Set(offers.map((offer) => offer.image_url).filter(Boolean))].slice(0, 200);
  if (urls.length > 0) {
    const photos = new Map((await api.storedPictures(urls)).map(({ url, photo_id: id }) => [url, id]));
    for (const offer of offers) if (photos.has(offer.image_url)) found.set(offer.offer_id, photos.get(offer.image_url));
  }
  if (ownPhotoId) for (const offer of offers) if (!found.has(offer.offer_id)) found.set(offer.offer_id, ownPhotoId);
  return found;
}

/** All offers of an answer. `ownPhotoId` shows own goods, which have no address. */
export function offerList(offers, { ownPhotoId, total, filteredOut } = {}) {
  const state = { words: '', category: '', min: '', max: '', pieces: '', order: 'given', drawn: DRAWN };
  let photos = new Map();
  const list = h('ul', { class: 'offers' });
  const count = h('p', { class: 'soft count' });
  const more = h('button', { type: 'button', hidden: true, onclick: () => ((state.drawn += DRAWN), draw()) }, t('offers.more'));
  const draw = () => {
    const fitting = chosen(offers, state);
    const shown = fitting.slice(0, state.drawn);
    list.classList.toggle('bare', photos.size === 0);
    list.replaceChildren(...shown.map((offer) => card(offer, photos.get(offer.offer_id))));
    if (fitting.length === 0) list.append(h('li', { class: 'empty' }, t('offers.none_fit')));
    more.hidden = shown.length >= fitting.length;
    const text = fitting.length === offers.length ? t('offers.all', { n: offers.length }) : t('offers.some', { n: fitting.length, all: offers.length });
    count.textContent = [text, total > offers.length && t('offers.total', { total }), filteredOut > 0 && t('offers.filtered', { n: filteredOut })].filter(Boolean).join(' · ');
    return text;
  };
  let timer = 0;
  const field = (name, props) => {
    const change = (event) => {
      state[name] = event.target.value;
      const text = draw();
      clearTimeout(timer);
      timer = setTimeout(() => announce(text), 600);
    };
    const input = h(props.options ? 'select' : 'input', { id: `filter-${name}`, oninput: change, ...props.attributes }, props.options);
    return h('label', { class: `field ${name}`, for: `filter-${name}` }, h('span', {}, t(`filter.${name}`)), input);
  };
  const categories = new Map();
  for (const offer of offers) for (const id of offer.category_ids ?? []) categories.set(id, (categories.get(id) ?? 0) + 1);
  const options = [h('option', { value: '' }, t('filter.any'))];
  for (const [id, n] of [...categories].sort((a, b) => b[1] - a[1])) options.push(h('option', { value: id }, `${id} (${number(n)})`));
  const amount = { type: 'number', min: '0', step: 'any', inputmode: 'decimal' };
  const fields = h(
    'div',
    { role: 'search', 'aria-label': t('offers.refine') },
    field('words', { attributes: { type: 'search', autocomplete: 'off' } }),
    categories.size > 0 && field('category', { options }),
    field('min', { attributes: amount }),
    field('max', { attributes: amount }),
    field('pieces', { attributes: { ...amount, step: '1' } }),
    field('order', { options: ORDERS.map((order) => h('option', { value: order }, t(`order.${order}`))) }),
  );
  // On a phone the offers come first.
  const tools = h('details', { class: 'tools', open: !matchMedia('(max-width: 640px)').matches }, h('summary', {}, t('offers.refine')), fields);
  draw();
  pictured(offers, ownPhotoId).then((found) => {
    photos = found;
    if (found.size > 0) draw();
  }, () => {});
  return h('section', { class: 'offer-list', 'aria-label': t('offers.title') }, h('header', {}, h('h2', {}, t('offers.title')), count), tools, list, more);
}
