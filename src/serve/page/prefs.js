// What a person has chosen in this browser. Where nothing may be stored, it holds until the page is closed.

const held = new Map();

export function pref(name, fallback) {
  if (held.has(name)) return held.get(name);
  try {
    return localStorage.getItem(`tongkuan.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

export function setPref(name, value) {
  held.set(name, value);
  try {
    localStorage.setItem(`tongkuan.${name}`, value);
  } catch {
    // Held above.
  }
}

export const isOn = (name, fallback = 'off') => pref(name, fallback) === 'on';
export const setOn = (name, on) => setPref(name, on ? 'on' : 'off');

/** `auto`, `light` or `dark`. */
export function setTheme(theme) {
  setPref('theme', theme);
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
