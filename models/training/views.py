"""Make the views that train.py learns from: edited pictures, as the frozen part of the backbone sees them.

The pictures are those of the training tar files that were only stored when version 3 of the model was made: the verifier was fitted on the
others, which must be as new to the model as a user's. Of each: itself, edits of the kinds that shop_edits.py knows, and
another colour of the thing alone, which is the same picture for a careless embedding and must not be.

What is kept of a view is the map behind the last block that is not trained, in the bytes that the exported model has
there, [channels, 8, 8]. Half of the views are squashed and half padded: otherwise the shape of the white
margin would tell which views belong together.

A run that was stopped goes on where it was when it is started again.

Example
  python models/training/views.py --tars train-0.tar train-1.tar train-2.tar --start start/ --out views/
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import edits  # noqa: E402
import export  # noqa: E402
import pictures  # noqa: E402
import evaluate  # noqa: E402
import shop_edits  # noqa: E402

FROZEN = "block14.add"  # the activation behind the last block that is not trained
SHAPE = (192, 8, 8)
EDITED, RECOLOURED = 5, 2
VIEWS = 1 + EDITED + RECOLOURED
STEP = 256  # pictures after which the run is resumable


def items_of_tars(tars, seed, fresh):
    """5,000 pictures, or all `fresh` others, bursts thinned out; 85 % stored, half of them in each half."""
    loaded = list(pictures.from_tars(tars))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(loaded))
    loaded = [loaded[i] for i in (order[5000:] if fresh else order[:5000])]
    left = evaluate.thinned(loaded)
    return [(*loaded[i], False, bool(rng.random() < 0.85), "AB"[int(rng.integers(2))]) for i in left]


def asked_of(items, fresh, limit):
    """Places of the pictures of tar files whose edits are asked for; the other stored ones are there to be mistaken for
    them."""
    second_takes = set((HERE.parent / "second-takes.txt").read_text().split())
    stored = [i for i, item in enumerate(items) if item[3]]
    unseen = [i for i, item in enumerate(items) if not item[3] and not (fresh and item[0] in second_takes)]
    return sorted(stored[: limit or 1500] + unseen[:limit] if fresh else stored[:750] + unseen[:480])


def posters_asked(items, seed, limit):
    """Places of the pictures that are set into posters."""
    rng = np.random.default_rng(seed + 2)
    return [int(i) for i in rng.permutation(len(items)) if items[i][3]][: limit or 500]


def edits_of(others):
    """Collages and scenes are left out: there the picture is the smaller part."""
    return {**edits.ALL, "cast": shop_edits.cast, "light": shop_edits.light, "combo": shop_edits.combo,
            "poster": lambda p, r: shop_edits.poster(p, r, others)}


def chosen(tars, seed):
    """(pictures to learn from, pictures for the grounds of posters), each [(name, picture)]."""
    learnt = []
    for fresh, limit in ((False, None), (True, 800)):
        items = items_of_tars(tars, seed, fresh)
        posters = posters_asked(items, seed, 500)
        asked = set(asked_of(items, fresh, limit)) | set(posters)
        learnt += [items[i][:2] for i in range(len(items)) if items[i][3] and i not in asked]
    return learnt, [picture for _, picture in learnt[:200]]


def views_of(name, picture, every, seed):
    """VIEWS pictures: itself, EDITED edits, RECOLOURED other colours (None where there is none)."""
    rng = np.random.default_rng([seed, 1, zlib.crc32(name.encode())])
    names = list(every)
    out = [edits.jpeg(picture, 92)]
    out += [edits.jpeg(every[names[k]](picture, rng), 88) for k in rng.choice(len(names), EDITED, replace=False)]
    for i in range(RECOLOURED):
        other = shop_edits.recolour(picture, rng)
        edit = every[names[int(rng.integers(len(names)))]] if i else None
        out.append(other and edits.jpeg(edit(other[0], rng) if edit else other[0], 88))
    ways = rng.choice(pictures.RESIZES, VIEWS)
    return [view and pictures.resize(view, way, "bilinear") for view, way in zip(out, ways)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--start", type=Path, required=True, metavar="DIR", help="folder of a fitted.npz to start from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=7, help="of the choice and of the edits (default 7)")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    learnt, grounds = chosen(args.tars, args.seed)
    every = edits_of(grounds)
    fitted = export.Fitted.load(args.start / "fitted.npz")
    scale, zero = export.byte_scale(*fitted.ranges[FROZEN])
    run = export.session(export.build(fitted, [FROZEN]).SerializeToString())
    progress = args.out / "progress.json"
    done = json.loads(progress.read_text())["done"] if progress.exists() else 0
    path = args.out / "maps.npy"
    shape = (len(learnt), VIEWS, *SHAPE)
    maps = np.lib.format.open_memmap(path, "r+" if done else "w+", np.uint8, None if done else shape)
    present = np.lib.format.open_memmap(
        args.out / "present.npy", "r+" if done else "w+", np.bool_, None if done else shape[:2])
    if maps.shape != shape:
        raise SystemExit(f"{path}: made from other pictures; give an empty --out")
    print(f"{len(learnt)} pictures, {done} done", flush=True)
    for first in range(done, len(learnt), STEP):
        last = min(first + STEP, len(learnt))
        for i in range(first, last):
            made = views_of(*learnt[i], every, args.seed)
            present[i] = [view is not None for view in made]
            pixels = np.stack([pictures.to_pixels(view) for view in made if view is not None])
            values = run.run([FROZEN], {"pixels": pixels})[0]
            maps[i, present[i]] = np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)
        maps.flush()
        present.flush()
        progress.write_text(json.dumps({"done": last}))
        print(f"{last} of {len(learnt)}", flush=True)


if __name__ == "__main__":
    main()
