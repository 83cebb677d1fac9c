"""Write pictures, and queries for others that are like none of them: for the half of a calibration that must be like nothing.

Queries are edits of pictures of the splits `line` and `watch` (make_pairs.py), which the judge has not learnt from. Some of the
pictures of those splits, and all others, are stored. For each query stands in queries.tsv: its number, the edit, the picture, and the
candidates that the engine would lay over it, by the whole and by parts, each with its cosine.

Example
    python models/judge/unseen.py --tars train-0.tar train-1.tar train-2.tar --out unseen
"""

from __future__ import annotations

import argparse
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edits  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import make_pairs  # noqa: E402
import pictures  # noqa: E402
import shop_edits  # noqa: E402

MODELS = Path(__file__).resolve().parent.parent
# Goods that a stored picture shows from the same spot a moment earlier or later, each looked at: they are no unseen goods.
# Nor are shelves of a shop, of which the training set has most twice and more.
SECOND_TAKES = set((MODELS / "second-takes.txt").read_text().split())
SHELVES = "grocery-"
UNSEEN_SHARE = 0.9
EDITS_OF_EACH = 8


def candidate_lists(row, parts):
    """Candidates as the engine has them: the 20 nearest, then of the four nearest to each part the best 20."""
    near, best = np.argsort(-row)[:20], parts.max(0)
    near_parts = np.unique(np.argsort(-parts, 1)[:, :4])
    near_parts = near_parts[~np.isin(near_parts, near) | (best[near_parts] > row[near_parts])]
    near_parts = near_parts[np.argsort(-best[near_parts])][:20]
    return [",".join(f"{c}:{of[c]:.5f}" for c in which) for of, which in ((row, near), (best, near_parts))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, help="ask for edits of so many pictures")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    for folder in ("stored", "queries"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    loaded = list(pictures.from_tars(args.tars))
    loaded = [loaded[i] for i in evaluate.thinned(loaded)]
    is_unseen = [make_pairs.split_of(name) != "fit" and rng.random() < UNSEEN_SHARE for name, _ in loaded]
    stored = [p for (_, p), unseen in zip(loaded, is_unseen) if not unseen]
    asked = [(n, p) for (n, p), unseen in zip(loaded, is_unseen)
             if unseen and n not in SECOND_TAKES and not n.startswith(SHELVES)][: args.limit]
    # None of them is stored: a collage with a stored picture in it is that picture, too.
    others = [p for _, p in asked[:60]]
    every = {**edits.ALL, "cast": shop_edits.cast, "light": shop_edits.light, "combo": shop_edits.combo,
             "poster": lambda p, r: shop_edits.poster(p, r, others), "collage": lambda p, r: shop_edits.collage(p, r, others),
             "scene": lambda p, r: shop_edits.scene(p, r, others)}
    run = export.session(str(MODELS / "efficientnet-lite0-gem" / "model.onnx"))

    def embed(batch, parts=False):
        """[N, D], or of sixteen parts each [N, 16, D]."""
        side = export.SECOND_LOOK if parts else pictures.SIZE
        pixels = np.stack([pictures.to_pixels(pictures.resize(p, "pad", "bilinear", side)) for p in batch])
        return export.embed_parts(run, pixels) if parts else export.embed(run, pixels)

    vectors = np.concatenate([embed(stored[k : k + 16]) for k in range(0, len(stored), 16)])
    for number, picture in enumerate(stored):
        picture.save(args.out / "stored" / f"{number}.jpg", quality=92)
    queries = []
    for name, picture in asked:
        r = np.random.default_rng([args.seed, zlib.crc32(name.encode())])
        for k in r.choice(len(every), EDITS_OF_EACH, replace=False):
            edit = list(every)[k]
            queries.append((name, edit, every[edit](picture, r)))
    with open(args.out / "queries.tsv", "w") as table:
        for at in range(0, len(queries), 16):
            batch = queries[at : at + 16]
            near = embed([p for *_, p in batch]) @ vectors.T
            near_parts = embed([p for *_, p in batch], parts=True) @ vectors.T
            for number, ((name, edit, picture), row, parts) in enumerate(zip(batch, near, near_parts), at):
                picture.save(args.out / "queries" / f"{number}.jpg", quality=88)
                table.write("\t".join([str(number), edit, name, *candidate_lists(row, parts)]) + "\n")
    print(f"{len(stored)} stored, {len(queries)} queries of {len(asked)} pictures")


if __name__ == "__main__":
    main()
