"""Fit what tells from the first look whether a picture may hold other pictures, as collages, scenes and posters do.

A logistic function of the embeddings of the whole and of its sixteen halves at the size of the first look, and of the cosines of all
pairs of them (src/embed/composites.rs). Learns from pictures of the training tar files, edited; each fourth product is held back, and
chooses the threshold.

Example
  python models/composites.py --tars train-0.tar train-1.tar train-2.tar --out models/efficientnet-lite0-gem

Needs, beside requirements.txt, scipy and safetensors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from scipy.optimize import minimize
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).resolve().parent))

import edits  # noqa: E402
import export  # noqa: E402
import pictures  # noqa: E402
import shop_edits  # noqa: E402

COMPOSITES = {"collage": shop_edits.collage, "scene": shop_edits.scene, "poster": shop_edits.poster}
DECAY = 0.003
# Share of collages, scenes and posters for which a second look is still taken; docs/benchmarks/second-look.md chose it.
KEPT = 0.94


def views(loaded, limit, seed):
    """Yields (product, kind, picture)."""
    rng = np.random.default_rng(seed)
    others = [p for _, p in loaded]
    for i in rng.permutation(len(loaded))[:limit]:
        name, picture = loaded[i]
        for kind, make in COMPOSITES.items():
            yield name, kind, make(picture, rng, others)
        yield name, "itself", picture
        for edit in rng.choice(list(edits.ALL), 2, replace=False):
            yield name, str(edit), edits.apply(edit, picture, rng)


def looked_at(run, picture):
    pixels = pictures.to_pixels(pictures.resize(picture.convert("RGB"), "pad", "bilinear"))[None]
    windows = np.concatenate([export.whole(), export.halves(pictures.SIZE)])
    return run.run(["embedding"], {"pixels": pixels, "windows": windows})[0][0]


# Pairs of the whole and the halves, in the order of src/embed/composites.rs.
PAIRS = np.triu_indices(17, 1)


def features(seen):
    """[N, 17, D] embeddings as [N, 17 D + 136] numbers: themselves, then their cosines."""
    cosines = np.einsum("nad,nbd->nab", seen, seen)[:, PAIRS[0], PAIRS[1]]
    return np.concatenate([seen.reshape(len(seen), -1), cosines], axis=1)


def fit(seen, is_composite):
    mean, spread = seen.mean(0), seen.std(0) + 1e-3
    x, y = (seen - mean) / spread, np.where(is_composite, 1.0, -1.0)

    def loss(weights):
        margin = y * (x @ weights[:-1] + weights[-1])
        slope = -y * expit(-margin) / len(y)
        gradient = np.append(x.T @ slope + 2 * DECAY * weights[:-1], slope.sum())
        return np.logaddexp(0, -margin).mean() + DECAY * (weights[:-1] ** 2).sum(), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weights = found[:-1] / spread
    return weights, found[-1] - mean @ weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model's folder, with its manifest")
    parser.add_argument("--limit", type=int, default=1100, help="so many products (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--features", type=Path, metavar="FILE", help="keep what was computed here, and take it up again")
    args = parser.parse_args()
    if args.features and args.features.exists():
        kept = np.load(args.features)
        seen, kind, product = (kept[name] for name in ("seen", "kind", "product"))
    else:
        run = export.session(str(args.out / "model.onnx"))
        rows = [(p, k, looked_at(run, picture)) for p, k, picture in views(list(pictures.from_tars(args.tars)), args.limit, args.seed)]
        product, kind = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        seen = np.stack([row[2] for row in rows]).astype(np.float32)
        if args.features:
            np.savez(args.features, seen=seen, kind=kind, product=product)
    dimension = seen.shape[2]
    seen = features(seen.astype(np.float64))
    is_composite = np.isin(kind, list(COMPOSITES))
    is_held = np.array([zlib.crc32(name.encode()) % 4 == 0 for name in product])
    weights, bias = fit(seen[~is_held], is_composite[~is_held])
    score = seen @ weights + bias
    bias -= np.quantile(score[is_held & is_composite], 1 - KEPT)
    looks_twice = seen @ weights + bias >= 0
    for name in (*COMPOSITES, "itself"):
        print(f"{name}: {looks_twice[is_held & (kind == name)].mean():.1%} of {(is_held & (kind == name)).sum()} looked at twice")
    print(f"all that is no composite: {looks_twice[is_held & ~is_composite].mean():.1%}")
    of_embeddings, of_pairs = np.split(weights.astype(np.float32), [17 * dimension])
    bias = np.array([bias], np.float32)
    data = save({"weights": of_embeddings.reshape(17, -1), "pairs": of_pairs, "bias": bias})
    (args.out / "composites.safetensors").write_bytes(data)
    path = args.out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format"] = 3
    manifest["windows"]["composites"] = {"file": "composites.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
