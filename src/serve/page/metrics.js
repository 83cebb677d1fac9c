// Reads OpenMetrics text: what /metrics tells, as values.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** All samples: `[{ name, labels, value }]`. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : SAMPLE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? '').matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, '$1');
    samples.push({ name: found[1], labels, value: Number(found[3].replace('+Inf', 'Infinity')) });
  }
  return samples;
}

/** The sum of a counter by one of its labels: `Map`. */
export function totals(samples, name, label) {
  const sums = new Map();
  for (const sample of samples) {
    if (sample.name === name) sums.set(sample.labels[label], (sums.get(sample.labels[label]) ?? 0) + sample.value);
  }
  return sums;
}

/** The buckets of a histogram by one of its labels: `Map` of `[{ le, count }]`, counts cumulated. */
export function histograms(samples, name, label) {
  const all = new Map();
  for (const { name: of, labels, value } of samples) {
    if (of !== `${name}_bucket`) continue;
    if (!all.has(labels[label])) all.set(labels[label], []);
    all.get(labels[label]).push({ le: Number(labels.le.replace('+Inf', 'Infinity')), count: value });
  }
  for (const buckets of all.values()) buckets.sort((a, b) => a.le - b.le);
  return all;
}

/** Below which value a share of all lies, taken evenly within its bucket; null of nothing. */
export function quantile(buckets, share) {
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return null;
  const wanted = share * total;
  let [from, before] = [0, 0];
  for (const { le, count } of buckets) {
    if (count >= wanted) {
      if (le === Infinity) return from;
      return from + ((le - from) * (wanted - before)) / Math.max(1e-9, count - before);
    }
    [from, before] = [le, count];
  }
  return from;
}
