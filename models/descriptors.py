"""Descriptors beside each other on a set made by `tongkuan eval --make`, each by its own score alone.

Every query is compared with every reference; its answer is the nearest one. Printed, as `tongkuan eval` counts them: the
right one first (acc@1), recall at 99 % precision, and the share of seen queries that are answered rightly at 1 % and
0.1 % false hits. `--edit` keeps to queries of these edits.

  raw    EfficientNet-Lite0, GeM, 1280 floats, as its authors left it
  dhash  64 bits of brightness steps (hash difference of neighbours on 9 x 8 pixels), the usual cheap one
  own    the committed model

Example
  python models/descriptors.py set/manifest.ndjson
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


def answers(scores, item_of, queries):
    """(score of the nearest, whether it is right, whether the item is stored), surest first."""
    top = scores.argmax(1)
    best = scores[np.arange(len(top)), top]
    stored = set(item_of)
    seen = np.array([q.get("item") in stored for q in queries])
    right = np.array([s and item_of[t] == q["item"] for s, t, q in zip(seen, top, queries)])
    order = np.argsort(-best, kind="stable")
    return best[order], right[order], seen[order]


def measures(best, right, seen):
    """acc@1, recall at 99 % precision, hits at 1 % and 0.1 % false hits; a cut never parts equal scores."""
    ends = np.append(best[1:] != best[:-1], True)
    hits, false, answered = right.cumsum(), (~seen).cumsum(), np.arange(1, len(best) + 1)

    def most(allowed):
        return hits[ends & allowed].max(initial=0) / seen.sum()

    unseen = (~seen).sum()
    return right.sum() / seen.sum(), most(hits >= 0.99 * answered), most(false <= 0.01 * unseen), most(false <= 0.001 * unseen)


def dhash(picture):
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return np.where(small[:, 1:] > small[:, :-1], 1, -1).ravel().astype(np.float32) / 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="of a set made by tongkuan eval --make")
    parser.add_argument("--edit", nargs="+", help="only queries of these edits (default: all)")
    args = parser.parse_args()

    lines = [json.loads(line) for line in args.manifest.read_text().splitlines()]
    references = [line for line in lines if line["role"] == "reference"]
    queries = [q for q in lines if q["role"] == "query" and (not args.edit or q.get("edit") in args.edit)]
    item_of = [line["item"] for line in references]
    own = export.session(str(export.HERE / export.NAME / "model.onnx"))
    raw = export.session(export.build(export.Fitted()).SerializeToString())

    def pixels(picture):
        return pictures.to_pixels(pictures.resize(picture, "pad", "bilinear"))[None]

    descriptors = {
        "raw": lambda picture: export.embed(raw, pixels(picture))[0],
        "dhash": dhash,
        "own": lambda picture: export.embed(own, pixels(picture))[0],
    }
    rows, spent = {name: [] for name in descriptors}, dict.fromkeys(descriptors, 0.0)
    for line in (*references, *queries):
        with Image.open(args.manifest.parent / line["path"]) as opened:
            picture = pictures.to_rgb(opened)
        for name, descriptor in descriptors.items():
            start = time.thread_time()
            rows[name].append(descriptor(picture))
            spent[name] += time.thread_time() - start
    print(f"{len(references)} references, {len(queries)} queries")
    print("| descriptor | ms a picture, one thread | acc@1 | recall at 99 % precision | hits at 1 % false | at 0.1 % |\n"
          "|---|---|---|---|---|---|")
    for name, vectors in rows.items():
        vectors = np.stack(vectors)
        scores = vectors[len(references) :] @ vectors[: len(references)].T
        values = " | ".join(f"{100 * value:.1f} %" for value in measures(*answers(scores, item_of, queries)))
        print(f"| {name} | {1000 * spent[name] / (len(references) + len(queries)):.1f} | {values} |")


if __name__ == "__main__":
    main()
