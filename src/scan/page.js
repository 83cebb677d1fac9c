"use strict";
(() => {
  const root = document.documentElement;
  const pairs = [...document.querySelectorAll(".pair")];
  const said = new Map();
  const store = "tongkuan-scan-" + root.dataset.page;
  const keep = () => { try { localStorage.setItem(store, JSON.stringify([...said])); } catch (e) { /* a private window */ } };
  const key = (p) => p.dataset.one + " " + p.dataset.other;

  // Language, colours, marks.
  const set = (name, value) => { root.dataset[name] = value; };
  set("lang", (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en");
  root.lang = root.dataset.lang;
  const toggles = {
    lang: () => { set("lang", root.dataset.lang === "zh" ? "en" : "zh"); root.lang = root.dataset.lang; },
    theme: () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      set("theme", dark ? "light" : "dark");
    },
    marks: () => set("marks", root.dataset.marks === "off" ? "on" : "off"),
  };
  for (const [name, toggle] of Object.entries(toggles)) document.getElementById(name).addEventListener("click", toggle);

  // What is said of a pair.
  const count = document.getElementById("count");
  const show = (p) => {
    const word = said.get(key(p));
    if (word === undefined) delete p.dataset.said; else p.dataset.said = word ? "same" : "different";
    p.querySelector(".yes").setAttribute("aria-pressed", String(word === true));
    p.querySelector(".no").setAttribute("aria-pressed", String(word === false));
    count.textContent = String(said.size);
  };
  const say = (p, word) => {
    if (word === undefined || said.get(key(p)) === word) said.delete(key(p)); else said.set(key(p), word);
    show(p);
    keep();
    filter();
  };
  try { for (const [k, word] of JSON.parse(localStorage.getItem(store) || "[]")) said.set(k, word); } catch (e) { /* nothing kept */ }

  // Which are shown.
  const kind = document.getElementById("kind");
  const text = document.getElementById("text");
  const shown = () => pairs.filter((p) => !p.hidden && !p.closest("[hidden]"));
  function filter() {
    const want = kind.value, needle = text.value.trim().toLowerCase();
    for (const p of pairs) {
      const open = said.get(key(p)) === undefined;
      p.hidden = !(want === "all" || p.dataset.kind === want || (want === "open" && open) || (want === "said" && !open));
    }
    for (const card of document.querySelectorAll(".card")) {
      const named = !needle || card.dataset.names.toLowerCase().includes(needle);
      const any = want === "all" || [...card.querySelectorAll(".pair")].some((p) => !p.hidden);
      card.hidden = !(named && any);
    }
  }
  kind.addEventListener("change", filter);
  text.addEventListener("input", filter);

  // Keys.
  let at = -1;
  const go = (p) => {
    if (pairs[at]) pairs[at].classList.remove("at");
    at = pairs.indexOf(p);
    p.classList.add("at");
    p.focus({ preventScroll: true });
    p.scrollIntoView({ block: "center" });
  };
  // From where one is, although that pair is hidden once it was decided.
  const step = (by) => {
    const all = shown();
    if (!all.length) return;
    const places = all.map((p) => pairs.indexOf(p));
    const next = by > 0 ? places.find((place) => place > at) : places.findLast((place) => place < at || at < 0);
    go(next === undefined ? all[by > 0 ? all.length - 1 : 0] : pairs[next]);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const p = pairs[at];
    const seen = p && shown().includes(p);
    const keys = {
      j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
      s: () => seen && say(p, true), d: () => seen && say(p, false), u: () => p && say(p, undefined),
      m: toggles.marks, l: toggles.lang, t: toggles.theme, "/": () => text.focus(), w: write,
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  for (const p of pairs) {
    p.querySelector(".yes").addEventListener("click", () => say(p, true));
    p.querySelector(".no").addEventListener("click", () => say(p, false));
    p.addEventListener("focus", () => { if (pairs[at] !== p) { if (pairs[at]) pairs[at].classList.remove("at"); at = pairs.indexOf(p); p.classList.add("at"); } });
    show(p);
  }

  // The file that `tongkuan verdicts import` reads.
  function write() {
    const lines = [JSON.stringify({ tongkuan_verdicts: 1 })];
    for (const p of pairs) {
      const word = said.get(key(p));
      if (word === undefined) continue;
      const side = (digest, pixels, name) => ({ byte_digest: digest, pixel_digest: pixels, label: name });
      lines.push(JSON.stringify({
        same: word,
        one: side(p.dataset.one, p.dataset.onePixels, p.dataset.oneName),
        other: side(p.dataset.other, p.dataset.otherPixels, p.dataset.otherName),
      }));
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/x-ndjson" }));
    link.download = "verdicts.ndjson";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  document.getElementById("write").addEventListener("click", write);
  filter();
})();
