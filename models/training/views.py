"""Make the views that train.py learns from: edited pictures, as the frozen part of the backbone sees them.

The pictures are those of the training tar files that verifier.py only stores: it fits and calibrates on the
others, which must be as new to the model as a user's. Of each: itself, edits of the kinds that verifier.py knows, and
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
import verifier  # noqa: E402

FROZEN = "block14.add"  # the activation behind the last block that is not trained
SHAPE = (192, 8, 8)
EDITED, RECOLOURED = 5, 2
VIEWS = 1 + EDITED + RECOLOURED
STEP = 256  # pictures after which the run is resumable


def edits_of(others):
    """Collages and scenes are left out: there the picture is the smaller part."""
    return {**edits.ALL, "cast": verifier.cast, "light": verifier.light, "combo": verifier.combo,
            "poster": lambda p, r: verifier.poster(p, r, others)}


def chosen(tars, seed):
    """(pictures to learn from, pictures for the grounds of posters), each [(name, picture)]."""
    learnt = []
    for fresh, limit in ((False, None), (True, 800)):
        items = verifier.items_of_tars(tars, seed, fresh)
        posters = verifier.posters_asked(items, seed, 500)
        asked = set(verifier.asked(items, fresh, limit)) | set(posters)
        learnt += [items[i][:2] for i in range(len(items)) if items[i][3] and i not in asked]
    return learnt, [picture for _, picture in learnt[:200]]


def views_of(name, picture, every, seed):
    """VIEWS pictures: itself, EDITED edits, RECOLOURED other colours (None where there is none)."""
    rng = np.random.default_rng([seed, 1, zlib.crc32(name.encode())])
    names = list(every)
    out = [edits.jpeg(picture, 92)]
    out += [edits.jpeg(every[names[k]](picture, rng), 88) for k in rng.choice(len(names), EDITED, replace=False)]
    for i in range(RECOLOURED):
        other = verifier.recolour(picture, rng)
        edit = every[names[int(rng.integers(len(names)))]] if i else None
        out.append(other and edits.jpeg(edit(other[0], rng) if edit else other[0], 88))
    ways = rng.choice(pictures.RESIZES, VIEWS)
    return [view and pictures.resize(view, way, "bilinear") for view, way in zip(out, ways)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--start", type=Path, required=True, metavar="DIR", help="folder of a fitted.npz to start from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=7, help="of verifier.py's choice and of the edits (default 7)")
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
