"""Measure which second look finds pictures inside other pictures: how large, and at which parts.

Takes a set made by `tongkuan eval --make`, and the folder it was made from; all pictures of the
folder are stored, those whose edits are asked for as they stand in the set. For each query (by
default collages, scenes and posters) every stored picture scores its best cosine with any part.

Example
  python models/second_look.py set/manifest.ndjson --more clean/
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

import export
import pictures

SIDES = (256, 384, 448, 512)


def pixels(path, size):
    with Image.open(path) as opened:
        return pictures.to_pixels(pictures.resize(pictures.to_rgb(opened), "pad", "bilinear", size))[None]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="of a set made by tongkuan eval --make")
    parser.add_argument("--more", type=Path, required=True, metavar="DIR", help="the folder it was made from")
    parser.add_argument("--edit", nargs="+", default=["collage", "scene", "poster"], help="default: %(default)s")
    args = parser.parse_args()

    lines = [json.loads(line) for line in args.manifest.read_text().splitlines()]
    base = args.manifest.parent
    references = [line for line in lines if line["role"] == "reference"]
    column = {line["item"]: i for i, line in enumerate(references)}
    asked = [r for r in lines if r["role"] == "query" and r.get("item") in column and r.get("edit") in args.edit]
    files = [base / line["path"] for line in references]
    files += [p for p in sorted(args.more.glob("*.jpg")) if p.name not in column]
    run = export.session(str(export.HERE / export.NAME / "model.onnx"))
    stored = np.concatenate([export.embed(run, pixels(path, pictures.SIZE)) for path in files])
    right = np.array([column[query["item"]] for query in asked])
    edit = np.array([query["edit"] for query in asked])
    print(f"{len(files)} stored, {len(asked)} queries; right one first / among 5 / among 20")

    for side in SIDES:
        n = side // export.CELL
        looks = {
            "whole": export.whole(side),
            "9 of 3/4": export.windows(side, round(n * 3 / 4), 3),
            "16 halves": export.windows(side, n // 2, 4),
        }
        rows, spent = [], 0.0
        for query in asked:
            given = {"pixels": pixels(base / query["path"], side), "windows": np.concatenate(list(looks.values()))}
            start = time.thread_time()
            embeddings = run.run(["embedding"], given)[0][0]
            spent += time.thread_time() - start
            rows.append(embeddings @ stored.T)
        scores = np.stack(rows)
        looks["all"] = np.concatenate(list(looks.values()))
        first = 0
        for name, rows_of in looks.items():
            part = scores if name == "all" else scores[:, first : first + len(rows_of)]
            first += len(rows_of)
            best = part.max(1)
            rank = (best > best[np.arange(len(right)), right][:, None]).sum(1)
            cells = []
            for e in args.edit:
                of = rank[edit == e]
                cells.append(f"{e} {np.mean(of < 1):.1%} / {np.mean(of < 5):.1%} / {np.mean(of < 20):.1%}")
            print(f"{side} px, {1000 * spent / len(asked):.1f} ms, {name}: " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
