#!/usr/bin/env python3
"""Make the vectors and queries for `benches/peers` from pictures, with the model that is shipped.

    python benches/peers/embed.py PICTURES OUT --vectors 200000 --queries 1000
    TONGKUAN_PEERS_FROM=OUT python benches/peers/run.py

Needs onnxruntime, onnx, numpy and Pillow (models/requirements.txt), writes `vectors.f32` and `queries.f32`:
rows of 256 little-endian numbers, of length one.

Each picture is edited as models/edits.py does, and one pass of the edited picture at 448 pixels gives the
embeddings of many windows: the whole, and parts of three sizes. Windows in which nothing is to be seen are
left out, and so are vectors that are there already, bit for bit. Queries are windows of the same pictures
after edits that no stored vector comes from. Everything is seeded; the same pictures give the same files.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "models"))

import edits
import export
import pictures

SEED = 1688
SIDE = export.SECOND_LOOK
ASKED = ("crop-70", "jpeg60-half", "resize-60", "tone-blur")
STORED = tuple(name for name in edits.ALL if name not in ASKED)
# Cells a side of a window, and positions a side: 1 + 9 + 16 + 36 windows.
SIZES = ((14, 1), (10, 3), (7, 4), (5, 6))
# Standard deviation of the grey values (0 to 255) below which a window shows next to nothing.
LEAST_CONTRAST = 8.0


def all_windows():
    return np.concatenate([export.windows(SIDE, cells, steps) for cells, steps in SIZES])


def contrast(picture, windows):
    """Standard deviation of the grey values in each window, [windows]."""
    n = SIDE // export.CELL
    grey = np.asarray(picture.convert("L"), np.float64)
    cells = grey.reshape(n, export.CELL, n, export.CELL).transpose(0, 2, 1, 3).reshape(n * n, -1)
    mean, square = windows @ cells.mean(1), windows @ (cells**2).mean(1)
    return np.sqrt(np.maximum(square - mean**2, 0))


def embeddings(run, path, edit, take, windows):
    """Embeddings of the windows of one edited picture in which something is to be seen, [N, 256]."""
    rng = np.random.default_rng([SEED, take, *path.name.encode(), *edit.encode()])
    with Image.open(path) as opened:
        picture = edits.apply(edit, pictures.to_rgb(opened), rng)
    # Not padded: white margins would be the same in all pictures.
    picture = pictures.resize(picture, "squash", "bilinear", SIDE)
    seen = windows[contrast(picture, windows) >= LEAST_CONTRAST]
    if not len(seen):
        return np.zeros((0, 256), np.float32)
    rows = run.run(["embedding"], {"pixels": pictures.to_pixels(picture)[None], "windows": seen})[0][0]
    # No negative zeros, as the engine has none.
    return (export.unit_rows(rows.astype(np.float64)) + 0.0).astype("<f4")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a folder of JPEG files")
    parser.add_argument("out", type=Path, help="a folder, made if need be")
    parser.add_argument("--vectors", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--queries", type=int, default=1000, help="default: %(default)s")
    args = parser.parse_args()

    paths = sorted(args.pictures.glob("*.jpg"))
    if not paths:
        parser.error(f"no JPEG file in {args.pictures}")
    args.out.mkdir(parents=True, exist_ok=True)
    run = export.session(str(export.HERE / export.NAME / "model.onnx"))
    windows = all_windows()

    # Hashes of 64 bits, which among a million differ all but for one run in ten million.
    there, count, shown = set(), 0, {}
    with open(args.out / "vectors.f32", "wb") as out:
        # Edits whose numbers are drawn give new pictures in each take; all of them within a few takes.
        for take, edit, path in itertools.product(range(8), STORED, paths):
            rows = embeddings(run, path, edit, take, windows)
            shown[path] = True
            for row in map(bytes, rows):
                if count < args.vectors and hash(row) not in there:
                    there.add(hash(row))
                    out.write(row)
                    count += 1
            if count == args.vectors:
                break
    paths = list(shown)
    print(f"{count} vectors of {len(paths)} pictures")

    rng = np.random.default_rng(SEED)
    queries = []
    while len(queries) < args.queries:
        path, edit = paths[rng.integers(len(paths))], ASKED[rng.integers(len(ASKED))]
        rows = embeddings(run, path, edit, 0, windows)
        if len(rows):
            queries.append(rows[rng.integers(len(rows))])
    np.stack(queries).tofile(args.out / "queries.f32")
    print(f"{len(queries)} queries")


if __name__ == "__main__":
    main()
