"""Measure how well the embedding finds edited pictures again, and choose the cut-offs.

Labels
  Each picture is an item of its own. `spree-NAME-COLOUR` pictures are colour variants: the
  colours of one NAME form a family. Left out: plain `spree-NAME` pictures (their colour is
  not labelled), `abo-` pictures (views of three unlabelled products), and the second of two
  near-identical pictures (32 x 32 correlation > 0.98; > 0.90 for bursts of `trashnet-` and
  `grocery-`).
Store
  Two thirds of the single pictures and half of the colours of each family.
Queries
  positive  12 edits of each stored picture (edits.py)
  unseen    12 edits of each picture that is not stored
  variant   12 edits of each colour that is not stored while another colour is
  recolour  four seeded edits of each stored picture turned to another hue (skipped where the
            picture has too little colour for the turn to show)
Halves
  Items fall into two halves by family. Thresholds are chosen on half A, tables show half B.

Examples
  The committed model:
    python models/evaluate.py --dev DIR
  Other projections beside it, and every way of resizing on 300 pictures:
    python models/evaluate.py --dev DIR --head pca=pca.npz --head raw=none
    python models/evaluate.py --dev DIR --limit 300 --every-resize
"""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import edits
import export
import pictures

HERE = Path(__file__).resolve().parent
NEGATIVES = ("unseen", "variant", "recolour")
# Of a background of so many pictures, the mean over so many.
BACKGROUND, NEAREST = 3000, 3
WEIGHTS = (0.25, 0.5, 1.0)


def families(names):
    """Map each spree name to its family: the longest plain name that it extends."""
    spree = [name for name in names if name.startswith("spree-")]
    heads = {n for n in spree if any(other.startswith(n + "-") for other in spree)}
    return {
        n: max((h for h in heads if n == h or n.startswith(h + "-")), key=len, default=n)
        for n in spree
    }, heads


def thumbnail(picture):
    t = np.asarray(picture.resize((32, 32), Image.Resampling.BOX), np.float32).ravel()
    t = t - t.mean()
    return t / max(float(np.linalg.norm(t)), 1e-6)


def thinned(loaded):
    """Places of the (name, picture) that are left when bursts and near-identical pictures have one each."""
    thumbs = np.stack([thumbnail(p) for _, p in loaded])
    close = thumbs @ thumbs.T
    left = []
    for i, (name, _) in enumerate(loaded):
        origin = name.split("-")[0]
        burst = origin in ("trashnet", "grocery")
        if not any(
            close[i, j] > (0.90 if burst and loaded[j][0].split("-")[0] == origin else 0.98) for j in left
        ):
            left.append(i)
    return left


def plan(directory, limit, seed):
    """Return [(name, picture, family, stored, half)] after cleaning."""
    paths = sorted(Path(directory).glob("*.jpg"))
    family_of, heads = families([p.stem for p in paths])
    keep = [p for p in paths if p.stem not in heads and not p.stem.startswith("abo-")]
    rng = np.random.default_rng(seed)
    if limit:
        single = [p for p in keep if p.stem not in family_of]
        chosen = set(rng.choice(len(single), min(limit, len(single)), replace=False).tolist())
        wanted = {p for i, p in enumerate(single) if i in chosen}
        keep = [p for p in keep if p.stem in family_of or p in wanted]
    loaded = [(p.stem, pictures.to_rgb(Image.open(p))) for p in keep]
    left = thinned(loaded)
    dropped = len(loaded) - len(left)
    print(f"{len(paths)} pictures, {len(left)} items after cleaning ({dropped} near-identical left out)")
    groups = {}
    for i in left:
        groups.setdefault(family_of.get(loaded[i][0], loaded[i][0]), []).append(i)
    items = []
    singles = [f for f, members in groups.items() if len(members) == 1]
    unseen = set(np.asarray(singles)[rng.permutation(len(singles))[: len(singles) // 3]].tolist())
    for family, members in groups.items():
        half = "AB"[int(rng.integers(0, 2))]
        order = rng.permutation(members)
        for position, i in enumerate(order):
            stored = position >= len(order) // 2 if len(order) > 1 else family not in unseen
            name, picture = loaded[i]
            items.append((name, picture, len(members) > 1, stored, half))
    return items


def queries(items, seed):
    """Yield (item index, kind, edit, picture); the stored originals come first."""
    for index, (_, picture, _, stored, _) in enumerate(items):
        if stored:
            yield index, "stored", "none", picture
    names = list(edits.ALL)
    for index, (name, picture, variant, stored, _) in enumerate(items):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        kind = "positive" if stored else "variant" if variant else "unseen"
        for edit in names:
            yield index, kind, edit, edits.apply(edit, picture, rng)
        if stored:
            other = edits.recolour(picture, rng)
            if other is not None:
                for k in rng.choice(len(names), 4, replace=False):
                    yield index, "recolour", names[k], edits.apply(names[k], other, rng)


def extract(items, configs, seed, bare, batch=16):
    """Return (meta, {config: GeM features}) for every query; `bare` is without a head."""
    run = export.session(export.build(bare).SerializeToString())
    meta, rows = [], {config: [] for config in configs}
    pending = {config: [] for config in configs}

    def flush():
        for config in configs:
            if pending[config]:
                rows[config].append(export.embed(run, np.stack(pending[config])))
                pending[config].clear()

    for index, kind, edit, picture in queries(items, seed):
        meta.append((index, kind, edit))
        for how, name in configs:
            pending[how, name].append(pictures.to_pixels(pictures.resize(picture, how, name)))
        if len(pending[configs[0]]) == batch:
            flush()
    flush()
    return meta, {config: np.concatenate(r) for config, r in rows.items()}


def upper(k, n, confidence=0.95):
    """One-sided Clopper-Pearson upper bound for k of n."""
    if k >= n:
        return 1.0

    def below(p):  # P(X <= k)
        logs = [
            math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
            + i * math.log(p) + (n - i) * math.log1p(-p)
            for i in range(k + 1)
        ]
        top = max(logs)
        return math.exp(top) * sum(math.exp(v - top) for v in logs)

    low, high = k / n + 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) > 1 - confidence else (low, middle)
    return high


def cut(scores, rate, bound=False):
    """Lowest cosine at which at most `rate` of `scores` are false hits."""
    ordered = np.sort(scores)[::-1]
    k = int(rate * len(ordered))
    if bound:
        while k > 0 and upper(k, len(ordered)) > rate:
            k -= 1
        if upper(k, len(ordered)) > rate:
            return None
    return float(np.nextafter(ordered[k], np.float32(2))) if k < len(ordered) else -1.0


def headed(features, head):
    x = export.unit_rows(features.astype(np.float64))
    return x if head is None else export.unit_rows((x - head["mean"]) @ head["matrix"])


class Result:
    """Cosines of every query under one projection; less `weight` times the mean of those with the NEAREST pictures of a
    `background`, if there is one (score normalisation, as SSCD does it)."""

    def __init__(self, features, meta, items, head, background=None, weight=0.0):
        x = headed(features, head)
        self.kind = np.array([m[1] for m in meta])
        self.edit = np.array([m[2] for m in meta])
        index = np.array([m[0] for m in meta])
        self.half = np.array([items[i][4] for i in index])
        stored = self.kind == "stored"
        cosines = x[~stored] @ x[stored].T
        if background is not None:
            nearest = -np.sort(-(x[~stored] @ headed(background, head).T), 1)[:, :NEAREST]
            cosines -= weight * nearest.mean(1, keepdims=True)
        where = {item: column for column, item in enumerate(index[stored])}
        self.kind, self.edit, self.half, index = (
            a[~stored] for a in (self.kind, self.edit, self.half, index)
        )
        self.best = cosines.max(1)
        top = cosines.argmax(1)
        own = np.array([where.get(i, -1) for i in index])
        self.right = np.where(own >= 0, cosines[np.arange(len(own)), own], np.nan)
        self.found = top == own
        others = cosines.copy()
        others[np.arange(len(own))[own >= 0], own[own >= 0]] = -1
        self.wrong = others.max(1)

    def choose(self):
        a = self.half == "A"
        negative = np.isin(self.kind, NEGATIVES) & a
        scores = self.best[negative]
        out = {
            "negatives": int(negative.sum()),
            "hits_1": cut(scores, 0.01),
            "hits_1_bound": cut(scores, 0.01, True),
            "hits_01": cut(scores, 0.001),
            "hits_01_bound": cut(scores, 0.001, True),
            "unseen_1": cut(self.best[(self.kind == "unseen") & a], 0.01),
            "unseen_variant_1": cut(self.best[np.isin(self.kind, ("unseen", "variant")) & a], 0.01),
            "review": float(np.quantile(self.right[(self.kind == "positive") & a], 0.10)),
        }
        return out

    def line(self, cuts):
        """acc@1 and hit rates on half B."""
        b = (self.half == "B") & (self.kind == "positive")
        n = (self.half == "B") & np.isin(self.kind, NEGATIVES)
        rates = [float((self.found & (self.right >= t))[b].mean()) for t in cuts]
        false = [float((self.best >= t)[n].mean()) for t in cuts]
        return float(self.found[b].mean()), rates, false


def percent(value):
    return f"{100 * value:.1f}"


def compare(results):
    print("\n| projection | acc@1 | 1 % of all: cosine, found, false | 0.1 % of all: cosine, found, false | "
          "1 % of `unseen` and `variant`: cosine, found | 1 % of `unseen`: cosine, found |")
    print("|---|---|---|---|---|---|")
    for name, result in results.items():
        c = result.choose()
        cuts = [c["hits_1"], c["hits_01"], c["unseen_variant_1"], c["unseen_1"]]
        accuracy, rates, false = result.line(cuts)
        found = [f"{t:.3f}, {percent(rate)} %" for t, rate in zip(cuts, rates)]
        print(f"| {name} | {percent(accuracy)} % | {found[0]}, {100 * false[0]:.2f} % | "
              f"{found[1]}, {100 * false[1]:.2f} % | {found[2]} | {found[3]} |")


def detail(result, same, review):
    b = result.half == "B"
    print("\n| edit | queries | acc@1 | right match: 10 % / median | best wrong: median / 99 % | "
          f"found at {same:.3f} | found at {review:.3f} |")
    print("|---|---|---|---|---|---|---|")
    groups = [(name, [name]) for name in edits.ALL]
    groups += [("light", list(edits.LIGHT)), ("heavy", list(edits.HEAVY)), ("all", list(edits.ALL))]
    for label, names in groups:
        s = b & (result.kind == "positive") & np.isin(result.edit, names)
        r, w = result.right[s], result.wrong[s]
        hit = [percent((result.found[s] & (r >= t)).mean()) for t in (same, review)]
        print(f"| {label} | {s.sum()} | {percent(result.found[s].mean())} % | "
              f"{np.quantile(r, 0.1):.3f} / {np.median(r):.3f} | "
              f"{np.median(w):.3f} / {np.quantile(w, 0.99):.3f} | {hit[0]} % | {hit[1]} % |")
    print("\n| not stored | queries | best wrong: median / 90 % / 99 % | false at "
          f"{same:.3f} (95 % upper bound) | false at {review:.3f} |")
    print("|---|---|---|---|---|")
    for label, kinds in [(k, [k]) for k in NEGATIVES] + [("all", list(NEGATIVES))]:
        s = b & np.isin(result.kind, kinds)
        v = result.best[s]
        k = int((v >= same).sum())
        print(f"| {label} | {s.sum()} | {np.median(v):.3f} / {np.quantile(v, 0.9):.3f} / "
              f"{np.quantile(v, 0.99):.3f} | {100 * k / len(v):.2f} % ({100 * upper(k, len(v)):.2f} %) | "
              f"{percent((v >= review).mean())} % |")


def read_head(path):
    if path == "none":
        return None
    with np.load(path) as arrays:
        return {"mean": arrays["mean"].astype(np.float64), "matrix": arrays["matrix"].astype(np.float64)}


def speed(path):
    run = export.session(str(path))
    pixels = np.random.default_rng(0).standard_normal((1, 3, pictures.SIZE, pictures.SIZE)).astype(np.float32)
    times = []
    for _ in range(60):
        start = time.thread_time()
        export.embed(run, pixels)
        times.append(time.thread_time() - start)
    times = sorted(times[10:])
    return 1000 * times[0], 1000 * times[len(times) // 2]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dev", required=True, metavar="DIR", help="folder of held-out JPEG pictures")
    parser.add_argument("--model", default=HERE / "efficientnet-lite0-gem", type=Path, metavar="DIR",
                        help="folder with manifest.json and fitted.npz (default: the committed model)")
    parser.add_argument("--head", action="append", default=[], metavar="NAME=FILE",
                        help="another projection to compare, a file written by export.py, or `none`")
    parser.add_argument("--every-resize", action="store_true", help="compare every resize and filter")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="use N single pictures (0: all)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the split and the edits (default 7)")
    parser.add_argument("--background", nargs="+", metavar="TAR", help="compare normalised scores, too, by these pictures")
    parser.add_argument("--float", action="store_true", help="compute the features in 32-bit floats")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep the features in this .npz file")
    args = parser.parse_args()

    manifest = {"input": {"resize": "pad", "filter": "bilinear"}}
    if (args.model / "manifest.json").exists():
        manifest = json.loads((args.model / "manifest.json").read_text())
    shipped = (manifest["input"]["resize"], manifest["input"]["filter"])
    configs = [(h, f) for h in pictures.RESIZES for f in pictures.FILTERS] if args.every_resize else [shipped]
    items = plan(args.dev, args.limit, args.seed)
    fitted = export.Fitted.load(args.model / "fitted.npz")
    own, bare = fitted.head, replace(fitted, head=None, ranges=None if args.float else fitted.ranges)
    if args.cache and args.cache.exists():
        with np.load(args.cache) as saved:
            meta = [(int(i), str(k), str(e)) for i, k, e in zip(saved["index"], saved["kind"], saved["edit"])]
            features = {c: saved["-".join(c)] for c in configs}
    else:
        meta, features = extract(items, configs, args.seed, bare)
        if args.cache:
            np.savez(args.cache, index=[m[0] for m in meta], kind=[m[1] for m in meta],
                     edit=[m[2] for m in meta], **{"-".join(c): f for c, f in features.items()})
    heads = {} if own is None else {"committed": own}
    for text in args.head:
        name, path = text.split("=", 1)
        heads[name] = read_head(path)
    heads = heads or {"raw": None}
    results = {}
    for config in configs:
        for name, head in heads.items():
            label = f"{name}, {config[0]}, {config[1]}" if args.every_resize else name
            results[label] = Result(features[config], meta, items, head)
    if args.background:
        run = export.session(export.build(bare).SerializeToString())
        others = [picture for _, picture in pictures.from_tars(args.background)]
        chosen = np.random.default_rng(args.seed).permutation(len(others))[:BACKGROUND]
        background = export.gem_of((others[i] for i in chosen), run, *shipped)
        for weight in WEIGHTS:
            normalised = Result(features[shipped], meta, items, own, background, weight)
            results[f"normalised, {weight}"] = normalised
    first = next(iter(results.values()))
    for half in "AB":
        counts = {k: int(((first.kind == k) & (first.half == half)).sum()) for k in ("positive", *NEGATIVES)}
        print(f"half {half}: {counts}")
    print(f"stored pictures: {sum(m[1] == 'stored' for m in meta)}")
    compare(results)
    label = next(iter(results))
    chosen = first.choose()
    print(f"\n{label}, chosen on half A: {json.dumps(chosen)}")
    thresholds = manifest.get("thresholds", {})
    same = thresholds.get("same_picture", chosen["hits_1_bound"] or chosen["hits_1"])
    detail(first, same, thresholds.get("review", chosen["review"]))
    if (args.model / "model.onnx").exists():
        low, middle = speed(args.model / "model.onnx")
        print(f"\none picture on one thread: {low:.1f} ms of processor time at best, {middle:.1f} ms median of 50")


if __name__ == "__main__":
    main()
