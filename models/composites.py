"""Fit what tells from the first look whether a picture may hold other pictures, as collages, scenes and posters do.

A small network over the embeddings of the whole and of its sixteen halves at the size of the first look, and their cosines
with each other (src/embed/composites.rs). Learns from pictures of the training tar files, edited; each fourth product is held
back, and chooses the threshold.

Example
  python models/composites.py --tars train-0.tar train-1.tar train-2.tar --out models/efficientnet-lite0-gem

Needs, beside requirements.txt, torch and safetensors. Making the pictures takes about 0.2 s of one core a product, learning two minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

import edits  # noqa: E402
import export  # noqa: E402
import pictures  # noqa: E402
import shop_edits  # noqa: E402

COMPOSITES = {"collage": shop_edits.collage, "scene": shop_edits.scene, "poster": shop_edits.poster}
# Width of the layers, and how they learn.
WHOLE, HALF, HIDDEN = 48, 24, 96
EPOCHS, BATCH, RATE, DECAY, DROPPED = 30, 256, 2e-3, 1e-3, 0.2
# Share of collages, scenes and posters for which a second look is still taken; docs/benchmarks/second-look.md chose it.
KEPT = 0.98


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


class Detector(nn.Module):
    def __init__(self, dimension):
        super().__init__()
        self.whole, self.part = nn.Linear(dimension, WHOLE), nn.Linear(dimension, HALF)
        self.hidden = nn.Linear(WHOLE + 16 * HALF + 136, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        self.dropout = nn.Dropout(DROPPED)

    def forward(self, embeddings, cosines):
        parts = [torch.relu(self.whole(embeddings[:, 0])), torch.relu(self.part(embeddings[:, 1:])).flatten(1), cosines]
        hidden = torch.relu(self.hidden(self.dropout(torch.cat(parts, 1))))
        return self.out(self.dropout(hidden))[:, 0]


def cosines_of(embeddings):
    """All pairs of the seventeen: the first with the second, third ..., the second with the third ..."""
    first, second = np.triu_indices(17, 1)
    return np.einsum("nid,njd->nij", embeddings, embeddings)[:, first, second]


def fit(embeddings, cosines, is_composite, seed):
    """A detector for embeddings of length 1 and their cosines as they are."""
    torch.manual_seed(seed)
    mean, spread = cosines.mean(0), cosines.std(0)
    # The numbers of a vector of length 1 are small: four times larger they learn at the rate of the others.
    inputs = torch.tensor(embeddings * 4), torch.tensor((cosines - mean) / spread)
    wanted = torch.tensor(is_composite.astype(np.float32))
    model = Detector(embeddings.shape[2])
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(wanted) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(wanted)).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(model(*(x[batch] for x in inputs)), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        model.whole.weight *= 4
        model.part.weight *= 4
        of_cosines = model.hidden.weight[:, -136:]
        of_cosines /= torch.tensor(spread)
        model.hidden.bias -= of_cosines @ torch.tensor(mean)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model's folder, with its manifest")
    parser.add_argument("--limit", type=int, default=3000, help="so many products (default: %(default)s)")
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
    seen = seen.astype(np.float32)
    seen /= np.linalg.norm(seen, axis=2, keepdims=True)
    cosines = cosines_of(seen)
    is_composite = np.isin(kind, list(COMPOSITES))
    is_held = np.array([zlib.crc32(name.encode()) % 4 == 0 for name in product])
    model = fit(seen[~is_held], cosines[~is_held], is_composite[~is_held], args.seed)
    with torch.no_grad():
        score = model(torch.tensor(seen), torch.tensor(cosines)).numpy()
        threshold = np.quantile(score[is_held & is_composite], 1 - KEPT)
        model.out.bias -= threshold
    looks_twice = score >= threshold
    for name in (*COMPOSITES, "itself"):
        print(f"{name}: {looks_twice[is_held & (kind == name)].mean():.1%} of {(is_held & (kind == name)).sum()} looked at twice")
    print(f"all that is no composite: {looks_twice[is_held & ~is_composite].mean():.1%}")
    data = save({name: value.numpy().astype(np.float32) for name, value in model.state_dict().items()})
    (args.out / "composites.safetensors").write_bytes(data)
    path = args.out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format"] = 3
    manifest["windows"]["composites"] = {"file": "composites.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
