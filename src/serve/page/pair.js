// Two pictures side by side, with what differs marked on both.

import { h, icon, s } from './dom.js';
import { t } from './i18n.js';
import { isOn, setOn } from './prefs.js';

const dataUrl = (kind, base64) => `data:image/${kind};base64,${base64}`;
const isWhole = (outline) => outline.every(([x, y]) => [x, y].every((at) => Math.abs(at) < 0.02 || Math.abs(at - 1) < 0.02));

/** Where the stored picture lies in the other, as a frame; none where it lies all over it. */
function frame(outline) {
  if (!outline || isWhole(outline)) return null;
  const points = outline.map(([x, y]) => `${(x * 100).toFixed(1)},${(y * 100).toFixed(1)}`).join(' ');
  const line = (name) => s('polygon', { points, class: name, 'vector-effect': 'non-scaling-stroke' });
  return s('svg', { class: 'frame', viewBox: '0 0 100 100', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line('under'), line('over'));
}

/** A picture in a square of its own: `{ src, width, height, alt, marks, outline }`. */
function canvas(side) {
  if (!side?.src) {
    const text = side?.loading ? t('pair.loading') : t('pair.none');
    return h('div', { class: `square ${side?.loading ? 'loading' : ''}` }, h('p', { class: 'soft center' }, icon('picture'), text));
  }
  const img = h('img', { src: side.src, alt: side.alt });
  const sheet = h('div', { class: 'sheet' }, img, side.marks && h('img', { class: 'marks', src: side.marks, alt: '' }), frame(side.outline));
  const fit = (width, height) => {
    sheet.style.aspectRatio = `${width} / ${height}`;
    sheet.classList.toggle('tall', height > width);
  };
  if (side.width) fit(side.width, side.height);
  img.addEventListener('load', () => fit(img.naturalWidth, img.naturalHeight));
  return h('div', { class: 'square' }, sheet);
}

const figure = (side, caption) => h('figure', {}, canvas(side), h('figcaption', {}, caption));

/** The button that shows and hides the marks of everything under `root`. */
function marksButton(root) {
  const button = h('button', { type: 'button', class: 'quiet', 'data-key': 'm', 'aria-pressed': String(isOn('marks', 'on')) }, t('pair.marks'));
  button.addEventListener('click', () => {
    const on = !isOn('marks', 'on');
    setOn('marks', on);
    root.classList.toggle('no-marks', !on);
    button.setAttribute('aria-pressed', String(on));
  });
  return button;
}

/**
 * `own` and `stored` are `{ src, label }`; `comparison` is what the server says of the two, or null. `loading` while it is
 * waited for.
 */
export function pair({ own, stored, comparison, loading }) {
  const root = h('div', { class: `pair ${isOn('marks', 'on') ? '' : 'no-marks'}` });
  const { picture, stored: kept, marks, outline } = comparison ?? {};
  const left = {
    src: own.src ?? (picture && dataUrl('jpeg', picture.jpeg)),
    width: picture?.width_px,
    height: picture?.height_px,
    alt: t('pair.own_alt', { name: own.label }),
    marks: marks && dataUrl('png', marks.picture),
    outline,
    loading,
  };
  const right = {
    src: kept ? dataUrl('jpeg', kept.jpeg) : stored?.src,
    width: kept?.width_px,
    height: kept?.height_px,
    alt: t('pair.stored_alt', { name: stored?.label ?? '' }),
    marks: marks && dataUrl('png', marks.stored),
    loading: loading && Boolean(stored),
  };
  root.append(h('div', { class: `figures ${stored ? '' : 'single'}` }, figure(left, [h('b', {}, t('pair.own')), h('span', { class: 'soft name' }, own.label)])));
  if (stored) {
    root.firstChild.append(figure(right, [h('b', {}, stored.title), h('span', { class: 'soft name' }, stored.label)]));
    const hint = marks || (outline && !isWhole(outline)) ? t(marks ? 'pair.legend' : 'pair.legend_frame') : comparison ? t('pair.no_marks') : '';
    root.append(h('div', { class: 'legend' }, marks || outline ? marksButton(root) : null, h('span', { class: 'soft' }, hint)));
  }
  return root;
}
