"""Make pictures to fit the verifier on, fit its confidence, and report.

  make    write stored pictures, seeded queries, and for each query the stored pictures nearest to it and its parts
  fit     fit boosted trees on the measurements of `make`d queries, write models/verifier/trees.json
  report  what share of the queries is answered at 1 % and 0.1 % false hits

`cargo run --release --example measure -- DIR FILE` turns a made folder into measurements, or into a calibration.

Queries
  positive  9 of 18 edits of each stored picture (edits.py, and below: cast to combo)
  unseen    9 of them of pictures that are not stored
  variant   all 18 of each colour that is not stored while another colour is (`--dev` only)
  recolour  a stored picture with another colour of the thing alone (15 %: of everything), edited
  swap      a stored picture whose middle, 20-45 % of its area, shows something else, edited
With `--posters`, every picture is set into a poster first, and there are only
  positive  4 edits of each stored poster
  posted    the same poster with another colour of the thing in it, half of them edited

Examples
    python models/verifier.py make --tars train-0.tar train-1.tar train-2.tar --out /tmp/fit
    python models/verifier.py make --tars train-0.tar train-1.tar train-2.tar --posters --out /tmp/posters
    python models/verifier.py make --dev dev --out /tmp/dev
    python models/verifier.py make --dev dev --posters --out /tmp/dev-posters
    cargo run --release --example measure -- /tmp/fit /tmp/fit.tsv
    (and so for the other three)
    python models/verifier.py make --tars train-0.tar train-1.tar train-2.tar --fresh --limit 800 --out /tmp/fresh
    python models/verifier.py make --tars train-0.tar train-1.tar train-2.tar --fresh --posters --limit 500 --out /tmp/fresh-posters
    cargo run --release --example measure -- /tmp/fresh models/efficientnet-lite0-gem/calibration.json 6403 /tmp/fresh-posters
    python models/verifier.py fit /tmp/fit.tsv /tmp/posters.tsv --weights models/verifier/trees.json
    python models/verifier.py report --fitted /tmp/fit.tsv /tmp/posters.tsv --other /tmp/dev.tsv \\
        /tmp/dev-posters.tsv --weights models/verifier/trees.json

Needs, beside requirements.txt, lightgbm 4.7.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import edits
import evaluate
import export
import pictures

HERE = Path(__file__).resolve().parent
# Shares of the kinds among queries whose original is not stored; variants are there in `--dev` only.
MIX = {"unseen": 0.52, "variant": 0.06, "recolour": 0.27, "posted": 0.10, "swap": 0.05}
RATES = (0.01, 0.001)
TREES, DEPTH = 250, 4
# Fresh pictures whose goods are stored from the same spot a moment earlier or later: the 36 (of 1,137) that the verifier
# came near to taking for a stored one, looked at one by one. They are no unseen goods.
SECOND_TAKES = set((HERE / "second-takes.txt").read_text().split())
# What may only speak for, and what only against.
FOR = """cosine inliers inlier_share likeness likeness_trimmed slopes textured_agreeing colour_worst_share
    colour_mean_share slopes_seen chroma_seen overlap_stored""".split()
AGAINST = """luma_residual shift raw_chroma_50 raw_chroma_90 raw_luma_90 fitted_chroma_50 fitted_chroma_75
    fitted_chroma_90 fitted_luma_75 fitted_luma_90 bound_chroma_50 bound_chroma_75 bound_chroma_90
    sure_chroma_50 sure_chroma_80 sure_chroma_95 sure_luma_80 sure_luma_95 fore_chroma_50 fore_chroma_90
    fore_luma_90 hue_50 hue_80 hue_degrees ground_chroma colour_worst_chroma colour_worst_luma patch
    differing sure_differing sure_patch unlike_patch""".split()


def cast(picture, rng):
    """A gamma and another gain for each channel."""
    a = np.asarray(picture, np.float32) / 255
    gain, gamma = rng.uniform(0.85, 1.15, 3), rng.uniform(0.8, 1.25)
    return Image.fromarray((np.clip(a**gamma * gain, 0, 1) * 255).astype(np.uint8))


def light(picture, rng):
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.75, 1.3))
    return picture


def poster(picture, rng, others):
    """On a larger coloured ground or another picture, 35-70 % of its area, with one to three lines of text."""
    w, h = picture.size
    area, shape = w * h / rng.uniform(0.35, 0.7), rng.uniform(1.0, 1.5)
    width = int((area / shape) ** 0.5)
    width, height = max(width, int(w * 1.02)), max(int(width * shape), int(h * 1.02))
    canvas = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 256, 3)))
    if rng.random() < 0.4:
        other = ImageOps.fit(others[int(rng.integers(len(others)))], (width, height))
        if rng.random() < 0.5:
            other = other.filter(ImageFilter.GaussianBlur(4))
        canvas.paste(other, (0, 0))
    canvas.paste(picture, (int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))))
    draw = edits.ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        at = (width * rng.uniform(0, 0.4), height * rng.uniform(0, 0.95))
        ink = tuple(int(v) for v in rng.integers(0, 256, 3))
        edits.text(draw, rng, at, ink, max(8, int(width * rng.uniform(0.03, 0.08))))
    return canvas


def collage(picture, rng, others):
    """One of four squares."""
    cell, gap = int(rng.integers(200, 321)), int(rng.integers(0, 9))
    canvas = Image.new("RGB", (2 * cell + gap,) * 2, (255, 255, 255))
    mine, fit = int(rng.integers(4)), rng.random() < 0.5
    for place in range(4):
        tile = picture if place == mine else others[int(rng.integers(len(others)))]
        tile = ImageOps.pad(tile, (cell, cell), color=(255, 255, 255)) if fit else ImageOps.fit(tile, (cell, cell))
        canvas.paste(tile, (place % 2 * (cell + gap), place // 2 * (cell + gap)))
    return edits.jpeg(canvas, 85)


def scene(picture, rng, others):
    """A little turned on another picture that is out of focus, 40-75 % of its width."""
    ground = ImageOps.fit(others[int(rng.integers(len(others)))], (560, 560)).filter(ImageFilter.GaussianBlur(3))
    small = ImageOps.contain(picture, (int(560 * rng.uniform(0.4, 0.75)),) * 2).convert("RGBA")
    small = small.rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC, expand=True)
    room = [560 - side for side in small.size]
    ground.paste(small, tuple(int(rng.uniform(min(0, r), max(0, r))) for r in room), small)
    return edits.jpeg(ground, 85)


def combo(picture, rng):
    picture = edits.banner(edits.crop(picture, rng, rng.uniform(0.6, 0.9)), rng)
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    return edits.jpeg(edits.scaled(picture, 0.7), 65)


def recolour(picture, rng):
    """(another colour of the thing alone, its name); None when hardly anything would show."""
    a = np.asarray(picture, np.float32)
    hsv = np.asarray(picture.convert("HSV"), np.float32)
    h, s, v = hsv[..., 0] * 360 / 256, hsv[..., 1] / 255, hsv[..., 2] / 255
    rim = np.concatenate([side.reshape(-1, 3) for side in (a[:4], a[-4:], a[:, :4], a[:, -4:])])
    ground = np.median(rim, 0)
    plain = (np.abs(rim - ground).max(1) < 25).mean() > 0.6
    fore = np.abs(a - ground).max(2) > 25
    coloured = (s > 0.18) & (v > 0.12)
    if plain:
        mask = coloured & fore
    else:
        height, width = h.shape
        middle = np.zeros_like(coloured)
        middle[height // 5 : -height // 5, width // 5 : -width // 5] = True
        count = np.histogram(h[middle & coloured], 36, (0, 360))[0].astype(float)
        count = count + np.roll(count, 1) + np.roll(count, -1)
        mask = coloured & (np.abs((h - (count.argmax() * 10 + 5) + 180) % 360 - 180) < 35)
    mode = rng.choice(["hue", "hue", "hue", "grey", "vivid", "light", "dark"])
    if plain and mode in ("light", "dark"):
        mask = fore
    soft = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    soft = np.asarray(soft, np.float32)[..., None] / 255
    turn = rng.uniform(25, 180) * (1 if rng.random() < 0.5 else -1)
    if mode == "hue":
        h = (h + turn) % 360
    elif mode == "grey":
        s = s * rng.uniform(0, 0.35)
    elif mode == "vivid":
        s, h = np.clip(s * rng.uniform(1.8, 2.6), 0, 1), (h + rng.uniform(-15, 15)) % 360
    elif mode == "light":
        v, s = v + (1 - v) * rng.uniform(0.4, 0.75), s * rng.uniform(0.4, 0.9)
    else:
        v = v * rng.uniform(0.3, 0.6)
    new = np.stack([h * 256 / 360, s * 255, v * 255], -1).clip(0, 255).astype(np.uint8)
    new = np.asarray(Image.fromarray(new, "HSV").convert("RGB"), np.float32)
    out = a * (1 - soft) + new * soft
    if (np.abs(out - a).max(2) > 20).mean() < 0.04:
        return None
    return Image.fromarray(out.clip(0, 255).astype(np.uint8)), str(mode)


def swap(picture, rng, others):
    """The middle shows something else: the same poster or the same ground for other goods."""
    area, shape = rng.uniform(0.2, 0.45), rng.uniform(0.7, 1.4)
    w = min(picture.width - 2, int(picture.width * (area * shape) ** 0.5))
    h = min(picture.height - 2, int(picture.height * (area / shape) ** 0.5))
    x = int((picture.width - w) * rng.uniform(0.25, 0.75))
    y = int((picture.height - h) * rng.uniform(0.25, 0.75))
    out = picture.copy()
    out.paste(ImageOps.fit(others[int(rng.integers(len(others)))], (w, h)), (x, y))
    return out


def items_of_dev(directory, seed):
    """[(name, picture, is a variant, stored, half)], as evaluate.py splits them."""
    return evaluate.plan(directory, 0, seed)


def items_of_tars(tars, seed, fresh):
    """5,000 pictures, or all `fresh` others, bursts thinned out; 85 % stored, half of them in each half."""
    loaded = list(pictures.from_tars(tars))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(loaded))
    loaded = [loaded[i] for i in (order[5000:] if fresh else order[:5000])]
    thumbs = np.stack([evaluate.thumbnail(p) for _, p in loaded])
    close, left = thumbs @ thumbs.T, []
    for i, (name, _) in enumerate(loaded):
        origin = name.split("-")[0]
        burst = origin in ("trashnet", "grocery")
        if not any(
            close[i, j] > (0.90 if burst and loaded[j][0].split("-")[0] == origin else 0.98) for j in left
        ):
            left.append(i)
    return [(*loaded[i], False, bool(rng.random() < 0.85), "AB"[int(rng.integers(2))]) for i in left]


def asked(items, fresh, limit):
    """Places of the pictures of tar files whose edits are asked for; the other stored ones are there to be mistaken for
    them."""
    stored = [i for i, item in enumerate(items) if item[3]]
    unseen = [i for i, item in enumerate(items) if not item[3] and not (fresh and item[0] in SECOND_TAKES)]
    return sorted(stored[: limit or 1500] + unseen[:limit] if fresh else stored[:750] + unseen[:480])


def posters_asked(items, seed, limit):
    """Places of the pictures that are set into posters."""
    rng = np.random.default_rng(seed + 2)
    return [int(i) for i in rng.permutation(len(items)) if items[i][3]][: limit or 500]


def make(args):
    out = args.out
    for folder in ("stored", "queries"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    seed = args.seed
    items = items_of_dev(args.dev, seed) if args.dev else items_of_tars(args.tars, seed, args.fresh)
    rng = np.random.default_rng(seed + 1)
    # None of them is stored: a collage with a stored picture in it is that picture, too.
    others = [items[i][1] for i in rng.permutation(len(items)) if not items[i][3]][:60]
    every = {**edits.ALL, "cast": cast, "light": light, "combo": combo,
             "poster": lambda p, r: poster(p, r, others), "collage": lambda p, r: collage(p, r, others),
             "scene": lambda p, r: scene(p, r, others)}
    names = list(every)
    run = export.session(str(HERE / "efficientnet-lite0-gem" / "model.onnx"))

    def embed(batch, parts=False):
        """[N, D], or of sixteen parts each [N, 16, D]."""
        side = export.SECOND_LOOK if parts else pictures.SIZE
        pixels = np.stack([pictures.to_pixels(pictures.resize(p, "pad", "bilinear", side)) for p in batch])
        return export.embed_parts(run, pixels) if parts else export.embed(run, pixels)

    if args.posters:
        posters(args, items, others, every, embed)
        return
    stored = [i for i, item in enumerate(items) if item[3]]
    vectors = np.concatenate([embed([items[i][1] for i in stored[k : k + 16]]) for k in range(0, len(stored), 16)])
    column = {item: c for c, item in enumerate(stored)}
    for item, c in column.items():
        items[item][1].save(out / "stored" / f"{c}.jpg", quality=92)

    def queries():
        for i in range(len(items)) if args.dev else asked(items, args.fresh, args.limit):
            name, picture, variant, is_stored, _ = items[i]
            r = np.random.default_rng([seed, zlib.crc32(name.encode())])
            kind = "positive" if is_stored else "variant" if variant else "unseen"
            edited = 18 if kind == "variant" else 2 if args.fresh and is_stored else 9
            for k in r.choice(len(names), edited, replace=False):
                yield i, kind, names[k], "-", every[names[k]](picture, r)
            if not is_stored:
                continue
            for _ in range(2 if args.dev else 3):
                if r.random() < 0.15:
                    other = edits.recolour(picture, r)
                    found = other and (other, "whole")
                else:
                    found = recolour(picture, r)
                k = int(r.integers(len(names)))
                if found:
                    yield i, "recolour", names[k], found[1], every[names[k]](found[0], r)
            if r.random() < 0.75:
                k = int(r.integers(len(names)))
                yield i, "swap", names[k], "-", every[names[k]](swap(picture, r, others), r)

    sizes = [len(stored) >> i for i in range(1, 5)] if args.fresh else []
    write(out, items, queries(), column, vectors, embed, sizes)


def posters(args, items, others, every, embed):
    """Stores posters and asks for edits of them and for the same posters of other colours."""
    names = [name for name in every if name != "poster"]
    column = {i: c for c, i in enumerate(posters_asked(items, args.seed, args.limit))}
    vectors = []
    for i, c in column.items():
        placed = poster(items[i][1], np.random.default_rng([args.seed, c]), others)
        placed.save(args.out / "stored" / f"{c}.jpg", quality=92)
        vectors.append(embed([placed])[0])

    def queries():
        for i, c in column.items():
            r = np.random.default_rng([args.seed + 3, c])
            placed = poster(items[i][1], np.random.default_rng([args.seed, c]), others)
            for k in r.choice(len(names), 1 if args.fresh else 4, replace=False):
                yield i, "positive", names[k], "-", every[names[k]](placed, r)
            for edited in (False, True, False):
                found = recolour(items[i][1], r)
                k = int(r.integers(len(names)))
                if found:
                    other = poster(found[0], np.random.default_rng([args.seed, c]), others)
                    other = every[names[k]](other, r) if edited else other
                    yield i, "posted", names[k] if edited else "none", found[1], other

    write(args.out, items, queries(), column, np.stack(vectors), embed)


def candidate_lists(row, parts):
    """Candidates as the engine has them: the 20 nearest, then of the four nearest to each part the best 20."""
    near, best = np.argsort(-row)[:20], parts.max(0)
    near_parts = np.unique(np.argsort(-parts, 1)[:, :4])
    near_parts = near_parts[~np.isin(near_parts, near) | (best[near_parts] > row[near_parts])]
    near_parts = near_parts[np.argsort(-best[near_parts])][:20]
    return [",".join(f"{c}:{of[c]:.5f}" for c in which) for of, which in ((row, near), (best, near_parts))]


def write(out, items, queries, column, vectors, embed, sizes=()):
    """Writes the queries with their 20 nearest stored pictures, and up to 20 that are near to parts of them; the unseen
    ones also with the nearest of only so many."""
    number, pending = 0, []
    with contextlib.ExitStack() as files:
        table = files.enter_context(open(out / "queries.tsv", "w"))
        smaller = [files.enter_context(open(out / f"queries-{size}.tsv", "w")) for size in sizes]

        def flush():
            nonlocal number
            asked = [p[4] for p in pending]
            scores = zip(pending, embed(asked) @ vectors.T, embed(asked, parts=True) @ vectors.T)
            for (i, kind, edit, note, picture), row, parts in scores:
                picture.save(out / "queries" / f"{number}.jpg", quality=88)
                for file, size in zip([table, *smaller], [len(row), *sizes]):
                    if file is table or kind == "unseen":
                        lists = candidate_lists(row[:size], parts[:, :size])
                        fields = [number, kind, edit, note, items[i][4], column.get(i, -1), i, *lists]
                        file.write("\t".join(map(str, fields)) + "\n")
                number += 1
            pending.clear()

        for query in queries:
            pending.append(query)
            if len(pending) == 16:
                flush()
        if pending:
            flush()
    print(f"{len(column)} stored, {number} queries")


def load(path):
    """(names of the measurements, rows of (query, kind, edit, note, half, own, candidate), measurements)."""
    with open(path) as f:
        head = f.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in f]
    return head[7:], [tuple(r[:7]) for r in rows], np.array([r[7:] for r in rows], np.float32)


def load_all(paths):
    """`load` of several files; their queries stay apart."""
    names, rows, x = [], [], []
    for path in paths:
        names, more, values = load(path)
        rows += [(f"{path}:{row[0]}", *row[1:]) for row in more]
        x.append(values)
    return names, rows, np.concatenate(x)


def is_right(row):
    return row[1] == "positive" and row[5] == row[6]


def boosted(names, rows, x):
    import lightgbm

    sign = [1 if n in FOR else -1 if n in AGAINST else 0 for n in names]
    parameters = dict(
        objective="binary", num_leaves=2**DEPTH, max_depth=DEPTH, learning_rate=0.1, min_data_in_leaf=30,
        lambda_l2=5, feature_fraction=0.5, monotone_constraints=sign, seed=1, num_threads=1, verbose=-1,
        deterministic=True,
    )
    label = np.array([is_right(row) for row in rows])
    # Half: a picture within a picture can be either.
    weight = np.array([0.5 if row[1] == "swap" else 1.0 for row in rows])
    return lightgbm.train(parameters, lightgbm.Dataset(x, label, weight=weight), TREES)


def complete(node, depth=0, at=0, questions=None, answers=None):
    """A LightGBM tree as a complete one of DEPTH: what ends early asks questions that all answer the same."""
    if questions is None:
        questions, answers = [(0, 3.4e38)] * (2**DEPTH - 1), [0.0] * 2**DEPTH
    if depth == DEPTH:
        answers[at - len(questions)] = node["leaf_value"]
    elif "split_feature" in node:
        questions[at] = (node["split_feature"], node["threshold"])
        complete(node["left_child"], depth + 1, 2 * at + 1, questions, answers)
        complete(node["right_child"], depth + 1, 2 * at + 2, questions, answers)
    else:
        complete(node, depth + 1, 2 * at + 1, questions, answers)
        complete(node, depth + 1, 2 * at + 2, questions, answers)
    return questions, answers


def number(value):
    """As the program reads it: six digits of an f32; null where nothing is above."""
    return None if value == 3.4e38 else float(f"{np.float32(value):.6g}")


def fit(args):
    names, rows, x = load_all(args.measured)
    model = boosted(names, rows, x)
    trees = []
    for tree in model.dump_model()["tree_info"]:
        questions, answers = complete(tree["tree_structure"])
        questions = [[feature, number(threshold)] for feature, threshold in questions]
        trees.append("  " + json.dumps({"questions": questions, "answers": [number(a) for a in answers]}))
    head = f'{{"format": 1,\n "measurements": {json.dumps(names)},\n "trees": [\n'
    args.weights.write_text(head + ",\n".join(trees) + "\n ]}\n")
    print(f"{args.weights}: {TREES} trees on {len({r[0] for r in rows})} queries, {len(rows)} measured pairs")


def confidences(path, x):
    total = np.zeros(len(x))
    for tree in json.loads(Path(path).read_text())["trees"]:
        features = np.array([feature for feature, _ in tree["questions"]])
        thresholds = np.array([3.4e38 if t is None else t for _, t in tree["questions"]])
        at = np.zeros(len(x), int)
        for _ in range(DEPTH):
            at = 2 * at + 1 + (x[np.arange(len(x)), features[at]] > thresholds[at])
        total += np.array(tree["answers"])[at - len(thresholds)]
    return 1 / (1 + np.exp(-total))


class Queries:
    """The best candidate of each query."""

    def __init__(self, rows, values):
        best = {}
        for row, value in zip(rows, values):
            if row[0] not in best or value > best[row[0]][0]:
                best[row[0]] = (value, row)
        self.positive = [(v, is_right(row), row[2]) for v, row in best.values() if row[1] == "positive"]
        self.negative = {
            kind: np.array([v for v, row in best.values() if row[1] == kind]) for kind in MIX
        }
        self.negative = {kind: values for kind, values in self.negative.items() if len(values)}
        total = sum(MIX[kind] for kind in self.negative)
        self.weight = {kind: MIX[kind] / total for kind in self.negative}

    def false_hits(self, threshold):
        return sum(self.weight[k] * float((v >= threshold).mean()) for k, v in self.negative.items())

    def bound(self, threshold):
        """Upper 95 % bound of the false hits: each kind's own bound, weighed."""
        return sum(
            self.weight[k] * evaluate.upper(int((v >= threshold).sum()), len(v))
            for k, v in self.negative.items()
        )

    def cut(self, rate, measure):
        candidates = np.unique(np.concatenate(list(self.negative.values())))[::-1]
        best = 1.0
        for value in candidates:
            above = float(np.nextafter(np.float32(value), np.float32(2)))
            if measure(above) > rate:
                break
            best = above
        return best

    def print(self, threshold):
        right = [hit and v >= threshold for v, hit, _ in self.positive]
        wrong = [not hit and v >= threshold for v, hit, _ in self.positive]
        print(f"confidence >= {threshold:.4f}: answered {100 * np.mean(right):.1f} % of {len(right)}, with a wrong "
              f"picture {100 * np.mean(wrong):.2f} %; false {100 * self.false_hits(threshold):.3f} % "
              f"(95 % bound {100 * self.bound(threshold):.2f} %): "
              + ", ".join(f"{k} {int((v >= threshold).sum())} of {len(v)}" for k, v in self.negative.items()))

    def table(self, bounded, thresholds):
        thresholds = [bounded, *thresholds]
        edits_ = collections.defaultdict(list)
        for value, hit, edit in self.positive:
            edits_[edit].append([hit and value >= t for t in thresholds])
        heads = [f"at {bounded:.4f}", *(f"at {100 * r:g} % ({t:.4f})" for r, t in zip(RATES, thresholds[1:]))]
        print("\n| edit | queries | " + " | ".join(heads) + " |\n|---|---|---|---|---|")
        for edit, hits in sorted(edits_.items()):
            print(f"| {edit} | {len(hits)} | " + " | ".join(f"{100 * s:.1f} %" for s in np.mean(hits, 0)) + " |")
        print()


def report(args):
    """Cross-fitted thresholds on the fitting pictures, then the committed weights on the others."""
    if args.mix:
        MIX.clear()
        MIX.update((kind, float(share)) for kind, share in (part.split("=") for part in args.mix.split(",")))
    names, rows, x = load_all(args.fitted)
    half = np.array([row[4] == "A" for row in rows])
    values = np.zeros(len(rows))
    for part in (half, ~half):
        model = boosted(names, [r for r, p in zip(rows, part) if p], x[part])
        values[~part] = model.predict(x[~part])
    fitted = Queries(rows, values)
    print("fitting pictures, each half judged by trees fitted on the other")
    cuts = [fitted.cut(rate, fitted.false_hits) for rate in RATES]
    bounded = [fitted.cut(rate, fitted.bound) for rate in RATES]
    for rate, a, b in zip(RATES, cuts, bounded):
        print(f"at {100 * rate:g} %: threshold {a:.4f}; for the 95 % bound {b:.4f}")
    for t in (*cuts, *bounded):
        fitted.print(t)
    if args.other:
        _, rows, x = load_all(args.other)
        other = Queries(rows, confidences(args.weights, x))
        print("\nthe other pictures, at those thresholds")
        for t in (*cuts, *bounded):
            other.print(t)
        own = [other.cut(rate, other.false_hits) for rate in RATES]
        print("the other pictures, at their own thresholds")
        for t in own:
            other.print(t)
        other.table(bounded[0], own)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    c = commands.add_parser("make")
    source = c.add_mutually_exclusive_group(required=True)
    source.add_argument("--dev", metavar="DIR", help="folder of held-out JPEG pictures, split as evaluate.py does")
    source.add_argument("--tars", nargs="+", metavar="TAR", help="tar files of pictures to fit on")
    c.add_argument("--out", type=Path, required=True, metavar="DIR")
    c.add_argument("--posters", action="store_true", help="set every picture into a poster first")
    c.add_argument("--fresh", action="store_true", help="the pictures of the tar files that are not fitted on")
    c.add_argument("--limit", type=int, metavar="N", help="with --fresh: ask for so few stored and so few unseen pictures")
    c.add_argument("--seed", type=int, default=7)
    c.set_defaults(run=make)
    c = commands.add_parser("fit")
    c.add_argument("measured", type=Path, nargs="+")
    c.add_argument("--weights", type=Path, required=True)
    c.set_defaults(run=fit)
    c = commands.add_parser("report")
    c.add_argument("--fitted", type=Path, nargs="+", required=True, help="what `fit` was given")
    c.add_argument("--mix", help="other shares of the kinds, such as unseen=0.61,variant=0.06,recolour=0.33")
    c.add_argument("--other", type=Path, nargs="*", help="measurements of pictures that were not fitted on")
    c.add_argument("--weights", type=Path, required=True)
    c.set_defaults(run=report)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
