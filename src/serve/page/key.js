// Entering an API key. It is kept in this tab alone, until it is closed.

import { currentKey, setKey } from './api.js';
import { dialog, h } from './dom.js';
import { t } from './i18n.js';

/** Asks a person for a key: resolves to it, or to null where none is given. */
export function enterKey(wasRefused) {
  return new Promise((done) => {
    let given = null;
    const field = h('input', { id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'key-hint' });
    const use = (event) => {
      event.preventDefault();
      if (!field.value.trim()) return field.focus();
      given = field.value.trim();
      setKey(given);
      box.close();
    };
    const form = h(
      'form',
      { class: 'stack', onsubmit: use },
      wasRefused && h('p', { class: 'note error', role: 'alert' }, t('key.refused')),
      h('label', { for: 'key' }, t('key.label')),
      field,
      h('p', { class: 'soft', id: 'key-hint' }, t('key.hint')),
      h(
        'div',
        { class: 'row' },
        h('button', { type: 'submit', class: 'primary' }, t('key.use')),
        currentKey() !== null && h('button', { type: 'button', onclick: () => (setKey(null), box.close()) }, t('key.forget')),
      ),
    );
    const box = dialog(t('key.title'), t('close'), form);
    box.addEventListener('close', () => done(given));
    field.focus();
  });
}
