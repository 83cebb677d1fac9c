// Small charts as SVG. Each says in words what it shows; colours come from the style, and lines differ in shape as well.

import { h, s } from './dom.js';
import { number } from './i18n.js';

const HEIGHT = 150;
/** Narrow on a phone, so that the words stay readable. */
const width = () => (matchMedia('(max-width: 640px)').matches ? 330 : 560);
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 8, 10, 22];

/** A round number at or above `value`. */
export function roundUp(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= value);
}

const short = (value) => number(value, { notation: 'compact', maximumFractionDigits: 1 });

function axes(days, top) {
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
    parts.push(s('line', { class: 'rule', x1: LEFT, x2: width() - RIGHT, y1: y, y2: y }));
    parts.push(s('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, short(top * share)));
  }
  for (const [place, anchor] of [[0, 'start'], [days.length - 1, 'end']]) {
    const x = place === 0 ? LEFT : width() - RIGHT;
    if (place > 0 || anchor === 'start') parts.push(s('text', { x, y: HEIGHT - 5, 'text-anchor': anchor }, days[place].slice(5)));
  }
  return parts;
}

function chart(words, ...parts) {
  return s('svg', { class: 'chart', viewBox: `0 0 ${width()} ${HEIGHT}`, role: 'img', 'aria-label': words }, ...parts);
}

/** One line over days, with the area under it: `values` beside `days`. */
export function course(days, values, words) {
  const top = roundUp(Math.max(...values, 1));
  const x = (n) => LEFT + ((width() - LEFT - RIGHT) * n) / Math.max(1, values.length - 1);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const points = values.length === 1 ? [[LEFT, y(values[0])], [width() - RIGHT, y(values[0])]] : values.map((value, n) => [x(n), y(value)]);
  const line = points.map((point) => point.map((at) => at.toFixed(1)).join(',')).join(' L');
  const base = HEIGHT - BOTTOM;
  return chart(words, axes(days, top), s('path', { class: 'area', d: `M${points[0][0]},${base} L${line} L${points.at(-1)[0]},${base}Z` }), s('path', { class: 'course', d: `M${line}` }));
}

/** Two bars a day, one upon the other: `series` is `[{ name, values }]`. */
export function bars(days, series, words) {
  const sums = days.map((_, n) => series.reduce((sum, { values }) => sum + values[n], 0));
  const top = roundUp(Math.max(...sums, 1));
  const slot = (width() - LEFT - RIGHT) / Math.max(1, days.length);
  const wide = Math.min(22, slot * 0.72);
  const high = (value) => ((HEIGHT - TOP - BOTTOM) * value) / top;
  const rects = [];
  days.forEach((day, n) => {
    let base = HEIGHT - BOTTOM;
    series.forEach(({ name, values }) => {
      const height = high(values[n]);
      if (height > 0) rects.push(s('rect', { class: `bar ${name}`, x: LEFT + slot * n + (slot - wide) / 2, y: base - height, width: wide, height }, s('title', {}, `${day}: ${values[n]}`)));
      base -= height;
    });
  });
  return chart(words, axes(days, top), rects);
}

/** Shares of a whole as one bar: `parts` is `[{ name, value }]`. */
export function stack(parts, words) {
  const bar = h('div', { class: 'stack-bar', role: 'img', 'aria-label': words });
  for (const { name, value } of parts) {
    if (value <= 0) continue;
    const part = h('span', { class: `part ${name}` });
    part.style.flexGrow = String(value);
    bar.append(part);
  }
  return bar;
}
