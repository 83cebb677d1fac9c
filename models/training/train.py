"""Train the last block, the last convolution and the projection to tell copies from look-alikes.

After SSCD (Pizzi et al., CVPR 2022): InfoNCE over edited views of each picture, and an entropy term that pushes every
picture from its nearest neighbour (KoLeo). Beside other pictures, each picture's own recoloured views are negatives.
Everything before block 15 stays frozen, batch normalisation is folded into the convolutions and stays as it is: to
train all of it from 50,000 small views made things worse.

One picture in ten is held out. After each epoch this prints, for the held-out pictures: acc@1 of their edits among the
originals of all of them, and how many are found at 1 % false hits, where the false ones are recoloured pictures, edits
of pictures whose original is taken out, in equal parts. `state.pt` is written after each epoch; started again, it goes
on there.

Example
  python models/export.py --fit train-0.tar train-1.tar train-2.tar --out start/
  python models/training/views.py --tars train-0.tar train-1.tar train-2.tar --start start/ --out views/
  python models/training/train.py views/ --start start/ --out trained/
  python models/export.py --fit train-0.tar train-1.tar train-2.tar --trained trained/trained.npz
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import evaluate  # noqa: E402
import export  # noqa: E402
import views  # noqa: E402

LAYERS = ("block15.expand", "block15.depthwise", "block15.project", "head")
EDITS_A_STEP = 2  # of each picture, beside itself and one recoloured view
TEMPERATURE = 0.05  # SSCD, section 4
HELD_OUT = 10  # every so manieth picture


class Tail(nn.Module):
    """Maps behind block 14, float32 [n, 192, 8, 8], to embeddings of unit length, [n, 256]."""

    def __init__(self, fitted):
        super().__init__()
        tensors = fitted.tensors()
        for name in LAYERS:
            layer = nn.ParameterList([torch.tensor(part) for part in export.folded(tensors, name)])
            setattr(self, name.replace(".", "_"), layer)
        self.mean = nn.Parameter(torch.tensor(fitted.head["mean"]))
        self.matrix = nn.Parameter(torch.tensor(fitted.head["matrix"]))

    def layer(self, name):
        return getattr(self, name.replace(".", "_"))

    def forward(self, x):
        x = functional.relu6(functional.conv2d(x, *self.layer("block15.expand")))
        x = functional.relu6(functional.conv2d(x, *self.layer("block15.depthwise"), padding=1, groups=x.shape[1]))
        x = functional.conv2d(x, *self.layer("block15.project"))
        x = functional.relu6(functional.conv2d(x, *self.layer("head")))
        cubes = x.clamp_min(export.GEM_FLOOR) ** export.GEM_P
        x = functional.normalize(cubes.mean((2, 3)) ** (1 / export.GEM_P), dim=1)
        return functional.normalize((x - self.mean) @ self.matrix, dim=1)

    def trained(self):
        """Arrays by name, as export.py reads them."""
        out = {"mean": self.mean, "matrix": self.matrix}
        for name in LAYERS:
            out[f"{name}.kernel"], out[f"{name}.bias"] = self.layer(name)
        return {name: value.detach().cpu().numpy() for name, value in out.items()}


def loss_of(z, own, recoloured, entropy):
    """InfoNCE over views of the same picture, and KoLeo. `own` numbers the picture of each row."""
    cosines = z @ z.T
    same = own[:, None] == own[None, :]
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = same & ~itself & ~recoloured[:, None] & ~recoloured[None, :]
    negative = ~same | (recoloured[:, None] ^ recoloured[None, :])
    logits = cosines / TEMPERATURE
    against = logits.masked_fill(~negative | itself, -1e9).logsumexp(1, keepdim=True)
    info = (torch.logaddexp(logits, against) - logits)[positive].mean()
    nearest = cosines.masked_fill(same, -1).max(1).values
    distance = (2 - 2 * nearest).clamp_min(1e-6).sqrt()
    return info - entropy * distance.log().mean(), info


def batch_of(maps, present, rows, rng, device, scale, zero):
    """(x, picture of each row, whether it is recoloured)."""
    where, own, recoloured = [], [], []
    for place, i in enumerate(rows):
        edited = 1 + rng.choice(views.EDITED, EDITS_A_STEP, replace=False)
        other = [v for v in range(1 + views.EDITED, views.VIEWS) if present[i, v]]
        chosen = [0, *edited, *([int(rng.choice(other))] if other else [])]
        where += [(i, v) for v in chosen]
        own += [place] * len(chosen)
        recoloured += [v > views.EDITED for v in chosen]
    values = np.stack([maps[i, v] for i, v in where])
    x = (torch.from_numpy(values).to(device).float() - zero) * scale
    return x, torch.tensor(own, device=device), torch.tensor(recoloured, device=device)


@torch.no_grad()
def judged(model, maps, present, rows, device, scale, zero):
    """(acc@1, found at 1 % false hits) on held-out pictures."""
    model.eval()
    z = []
    for i in rows:
        x = (torch.from_numpy(np.array(maps[i])).to(device).float() - zero) * scale
        z.append(model(x).cpu().numpy())
    model.train()
    z, present = np.stack(z), present[rows]
    stored = z[:, 0]
    n = np.arange(len(rows))
    cosines = np.einsum("pvd,qd->pvq", z[:, 1 : 1 + views.EDITED], stored)
    right = cosines[n, :, n]
    found = cosines.argmax(2) == n[:, None]
    cosines[n, :, n] = -1
    unseen = cosines.max(2)[::2].ravel()
    other = np.einsum("pvd,qd->pvq", z[:, 1 + views.EDITED :], stored).max(2)[present[:, 1 + views.EDITED :]]
    rng = np.random.default_rng(0)
    few = min(len(unseen), len(other))
    false = np.concatenate([rng.permutation(unseen)[:few], rng.permutation(other)[:few]])
    threshold = evaluate.cut(false, 0.01)
    return float(found.mean()), float((found & (right >= threshold)).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", type=Path, metavar="DIR", help="made by views.py")
    parser.add_argument("--start", type=Path, required=True, metavar="DIR", help="as views.py was given")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=160, help="of a step (default %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-4, help="of the projection; a quarter of it for the convolutions")
    parser.add_argument("--entropy", type=float, default=0.5, help="weight of KoLeo (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.out.mkdir(parents=True, exist_ok=True)
    maps = np.load(args.views / "maps.npy", mmap_mode="r")
    present = np.load(args.views / "present.npy")
    fitted = export.Fitted.load(args.start / "fitted.npz")
    scale, zero = (float(v) for v in export.byte_scale(*fitted.ranges[views.FROZEN]))
    made = np.flatnonzero(present[:, 0])
    held = made[made % HELD_OUT == 0]
    learnt = made[made % HELD_OUT != 0]

    model = Tail(fitted).to(device)
    head = [model.mean, model.matrix]
    convolutions = [p for name in LAYERS for p in model.layer(name)]
    groups = [{"params": head, "lr": args.rate}, {"params": convolutions, "lr": args.rate / 4}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    steps = args.epochs * (len(learnt) // args.pictures)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min(1, (s + 1) / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * s / steps)))
    state_path, epoch = args.out / "state.pt", 0
    if state_path.exists():
        state = torch.load(state_path, map_location=device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        epoch = state["epoch"]
    print(f"{device}: {len(learnt)} pictures to learn from, {len(held)} held out; epoch {epoch} of {args.epochs}", flush=True)
    print("held out, before: acc@1 %.4f, found at 1 %% false %.4f"
          % judged(model, maps, present, held, device, scale, zero), flush=True)
    for epoch in range(epoch, args.epochs):
        rng = np.random.default_rng([args.seed, epoch])
        order, start, losses = rng.permutation(learnt), time.monotonic(), []
        for first in range(0, len(order) - args.pictures + 1, args.pictures):
            rows = order[first : first + args.pictures]
            x, own, recoloured = batch_of(maps, present, rows, rng, device, scale, zero)
            loss, info = loss_of(model(x), own, recoloured, args.entropy)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(info.detach()))
        accuracy, found = judged(model, maps, present, held, device, scale, zero)
        print(f"epoch {epoch + 1}: InfoNCE {np.mean(losses):.4f}, held out acc@1 {accuracy:.4f}, "
              f"found at 1 % false {found:.4f}, {time.monotonic() - start:.0f} s", flush=True)
        written = state_path.with_suffix(".new")
        torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(), "epoch": epoch + 1}, written)
        written.replace(state_path)
    np.savez(args.out / "trained.npz", **model.trained())
    print(f"{args.out / 'trained.npz'}")


if __name__ == "__main__":
    main()
