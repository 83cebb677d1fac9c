// Elements, icons, and what is said to screen readers. Text becomes text, never markup.

const SVG = 'http://www.w3.org/2000/svg';
const AS_PROPERTY = new Set(['value', 'checked', 'disabled', 'hidden', 'multiple', 'indeterminate', 'open']);

function put(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.setAttribute('class', value);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (AS_PROPERTY.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** An HTML element: `h('p', { class: 'soft' }, text)`. */
export const h = (tag, props, ...children) => put(document.createElement(tag), props, children);

/** An SVG element. */
export const s = (tag, props, ...children) => put(document.createElementNS(SVG, tag), props, children);

const PATHS = {
  search: 'M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13M15.3 15.3L20 20',
  many: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  review: 'M3 5h8v14H3zM13 5h8v14h-8zM6 12h2M16 12h2',
  overview: 'M4 20V10M10 20V4M16 20v-7M21 20H3',
  hit: 'M4.5 12.5l5 5L20 7',
  variant: 'M9 5.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13M15 5.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13',
  question: 'M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.2-1.5 2.3M12 18.2v.3',
  miss: 'M12 4v16M4 12h16',
  asked: 'M4 12h13M12 6l6 6l-6 6',
  error: 'M12 4L2.5 20h19zM12 10v4.5M12 17v.4',
  cross: 'M6 6l12 12M18 6L6 18',
  picture: 'M4 5h16v14H4zM4 16l5-5l4 4l3-3l4 4M15.5 9v.1',
  link: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
  key: 'M8 11a4 4 0 1 1 0 8a4 4 0 0 1 0-8M11 12l8-8M16 7l3 3',
  theme: 'M12 4a8 8 0 1 0 8 8a6 6 0 0 1-8-8',
  undo: 'M9 7L4 12l5 5M4 12h10a5 5 0 0 1 0 10h-2',
  refresh: 'M19 8a8 8 0 1 0 1 6M20 3v5h-5',
  spin: 'M12 3a9 9 0 1 1-9 9',
};

/** A drawing beside words; screen readers pass it over. */
export function icon(name) {
  const path = s('path', { d: PATHS[name] });
  return s('svg', { class: `icon icon-${name}`, viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, path);
}

/** Says something to screen readers. */
export function announce(text) {
  const live = document.getElementById('live');
  // The same text twice would not be said again.
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}

/** A dialog over the page, closed by Escape, its button, or `close()`. */
export function dialog(title, closeWord, ...children) {
  const id = `dialog-${Math.random().toString(36).slice(2)}`;
  const close = h('button', { type: 'button', class: 'quiet icon-button', 'aria-label': closeWord, onclick: () => box.close() }, icon('cross'));
  const box = h('dialog', { 'aria-labelledby': id }, h('header', {}, h('h2', { id }, title), close), ...children);
  box.addEventListener('close', () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Whether keys are typed into something just now. */
export function isTyping(event) {
  const at = event.target;
  return at instanceof Element && at.closest('input:not([type=checkbox]), textarea, select, [contenteditable]') !== null;
}
