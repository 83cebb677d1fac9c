"""Train the pair judge on the pairs of make_pairs.py, and export it as safetensors.

What it sees of a pair is `src/verify/pair.rs`: both pictures on one grid, and what both show. Beside them it gets the
difference that a global change of each channel does not explain (`explained`, part of the exported graph). It answers
with four logits: same picture, other colour, other print or words, other goods.

Folders of pairs: N.bin as examples/pairs.rs writes it, N.ndjson as make_pairs.py does; those named watch*.bin are not
learned from. New files are taken up between passes. A run that was stopped goes on where it was.

Example
    python models/judge/train.py --pairs pairs/ --minutes 60 --state state.pt --export models/pair-judge/model.safetensors

Needs, beside requirements.txt, torch 2.15.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import make_pairs
import recolours
from torch import nn
from torch.nn import functional

SIDE, KINDS = 64, make_pairs.KINDS
# Of each picture: the luma of four quarters of each place, row by row, then two of chroma; last, what both show.
LUMA, LANES = 4, 6
CHANNELS = 2 * LANES + 1
PLANES = CHANNELS * SIDE * SIDE
# Content of both (3), then measurements of src/verify/evidence.rs, by name, that speak of the place and not of colour.
SCALARS = ("inliers", "inlier_share", "overlap_stored", "overlap_query", "scale", "likeness")
SPREAD = {"inliers": 20.0, "scale": 2.0}
WIDTHS = (48, 48, 64, 96, 96)
STRIDES = (2, 2, 1, 2, 1)


def is_learnt(group):
    return group.startswith("layout") or make_pairs.split_of(group) == "fit"


def is_visible(note):
    """A made colour that people would not see as another teaches nothing."""
    return not note.isdigit() or int(note) >= recolours.LEAST_CHANGE


class Pairs:
    """Records of several files, in memory."""

    def __init__(self, folder, names, watched):
        self.files, self.folder, self.names, self.watched = {}, folder, names, watched
        self.refresh()

    def refresh(self):
        size = 1 + PLANES + 4 * (3 + len(self.names))
        for path in sorted(self.folder.glob("*.bin")):
            if path.stem.startswith("watch") != self.watched or path.stem in self.files:
                continue
            if not (self.folder / f"{path.stem}.done").exists():
                continue
            labels = [json.loads(line) for line in open(path.with_suffix(".ndjson"))]
            raw = np.fromfile(path, np.uint8)[: len(labels) * size].reshape(-1, size)
            labels = labels[: len(raw)]
            good = (raw[:, 0] == 1) & np.array(
                [(self.watched or is_learnt(row["group"])) and is_visible(row["note"]) for row in labels])
            kind = np.array([KINDS.index(row["kind"]) for row in labels])[good]
            numbers = raw[good, 1 + PLANES :].copy().view(np.float32)
            picked = [3 + self.names.index(name) for name in SCALARS]
            scalars = np.concatenate([numbers[:, :3], numbers[:, picked]], 1)
            scalars /= np.array([1, 1, 1] + [SPREAD.get(name, 1.0) for name in SCALARS], np.float32)
            self.files[path.stem] = (raw[good, 1 : 1 + PLANES].reshape(-1, CHANNELS, SIDE, SIDE), kind,
                                     np.clip(scalars, -1, 3), [row for row, g in zip(labels, good) if g], numbers[:, 3:])
            print(f"{path.name}: {good.sum()} of {len(good)}", {k: int((kind == i).sum()) for i, k in enumerate(KINDS)},
                  flush=True)
        self.index = np.array([(f, i) for f, name in enumerate(sorted(self.files)) for i in range(len(self.files[name][1]))])

    def batch(self, rows):
        names = sorted(self.files)
        planes = np.stack([self.files[names[f]][0][i] for f, i in rows])
        kind = np.array([self.files[names[f]][1][i] for f, i in rows])
        scalars = np.stack([self.files[names[f]][2][i] for f, i in rows])
        return torch.from_numpy(planes), torch.from_numpy(kind), torch.from_numpy(scalars)

    def whole(self, device):
        """All pairs in the memory of the device: planes, kinds, scalars."""
        names = sorted(self.files)
        return tuple(torch.cat([torch.from_numpy(self.files[n][part]).to(device) for n in names]) for part in range(3))


def means(picture):
    """The mean luma of each place, and its chroma."""
    return torch.cat([picture[:, :LUMA].mean(1, keepdim=True), picture[:, LUMA:]], 1)


def lanes(channels):
    """What is true of luma, of each of its four quarters."""
    return torch.cat([channels[:, :1]] * LUMA + [channels[:, 1:]], 1)


def explained(stored, query, seen):
    """What is left of the difference after one gain and offset of each channel, fitted with Cauchy weights."""
    s, q, weight = means(stored), means(query), seen
    for _ in range(3):
        n = weight.sum((2, 3), keepdim=True) + 1.0
        mq, ms = (weight * q).sum((2, 3), keepdim=True) / n, (weight * s).sum((2, 3), keepdim=True) / n
        dq, ds = q - mq, s - ms
        # Pulled towards no change, so that a flat colour fixes nothing.
        gain = ((weight * dq * ds).sum((2, 3), keepdim=True) / n + 0.01) / ((weight * dq * dq).sum((2, 3), keepdim=True) / n + 0.01)
        gain = gain.clamp(0.5, 2.0)
        left = (ds - gain * dq) * seen
        spread = (seen * left.abs()).sum((2, 3), keepdim=True) / (seen.sum((2, 3), keepdim=True) + 1.0) + 0.05
        weight = seen / (1.0 + (left / spread) ** 2)
    return (stored - lanes(ms) - lanes(gain) * (query - lanes(mq))) * seen


def inputs(planes):
    """What the first layer is given: both pictures where both are seen, what is unexplained, what is seen."""
    stored, query, seen = planes.split([LANES, LANES, 1], 1)
    return torch.cat([stored * seen, query * seen, explained(stored, query, seen), seen], 1)


class Judge(nn.Module):
    def __init__(self, widths=WIDTHS):
        super().__init__()
        layers, before = [], 3 * LANES + 1
        for width, stride in zip(widths, STRIDES):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.hidden = nn.Linear(2 * before + 3 + len(SCALARS), 64)
        self.head = nn.Linear(64, len(KINDS))

    def forward(self, planes, scalars):
        x = self.body(inputs(planes))
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3)), scalars], 1)
        return self.head(functional.relu(self.hidden(x)))


def normalised(planes):
    """Bytes to luma and chroma of about -2..2; the mask 0 or 1."""
    x = planes.float()
    zero = torch.tensor([128.0] * (2 * LANES) + [0], device=x.device).view(1, CHANNELS, 1, 1)
    scale = torch.tensor(([1 / 64] * LUMA + [1 / 32] * 2) * 2 + [1], device=x.device).view(1, CHANNELS, 1, 1)
    return (x - zero) * scale


LOW, HIGH = (-2.0,) * LUMA + (-4.0, -4.0), (2.0,) * LUMA + (4.0, 4.0)


def uniform(x, low, high, *shape):
    return low + (high - low) * torch.rand(len(x), *shape, device=x.device)


def chance(x, share, *shape):
    return torch.rand(len(x), *shape, device=x.device) < share


def clipped(colours):
    low, high = (torch.tensor(v * (colours.shape[1] // LANES), device=colours.device).view(1, -1, 1, 1) for v in (LOW, HIGH))
    return torch.minimum(torch.maximum(colours, low), high)


def rows_and_columns(x):
    return torch.meshgrid(torch.arange(SIDE, device=x.device), torch.arange(SIDE, device=x.device), indexing="ij")


SLIGHT_SHARE = 0.15


def recoloured(x, kind):
    """Gives a part of some of the same pictures another colour: a fresh other_colour each time."""
    n = len(x)
    stored, query, seen = x[:, :LANES], x[:, LANES : 2 * LANES], x[:, -1]
    coarse = means(stored)
    at = torch.randint(8, SIDE - 8, (n, 2), device=x.device)
    seed = coarse[torch.arange(n, device=x.device), :, at[:, 0], at[:, 1]]
    rim = torch.cat([coarse[:, :, 0], coarse[:, :, -1], coarse[:, :, :, 0], coarse[:, :, :, -1]], 2).median(2).values
    weight = torch.tensor([0.5, 1, 1], device=x.device).view(1, 3, 1, 1)
    distance = ((coarse - seed[:, :, None, None]) ** 2 * weight).sum(1)
    mask = torch.exp(-distance / uniform(x, 0.06, 0.3, 1, 1)) * seen
    yy, xx = rows_and_columns(x)
    near = torch.exp(-((yy - at[:, 0, None, None]) ** 2 + (xx - at[:, 1, None, None]) ** 2) / (2 * uniform(x, 6, 36, 1, 1) ** 2))
    mask = torch.where(chance(x, 0.4, 1, 1), mask * (near > 0.5), mask)
    shift = torch.randn(n, 3, device=x.device) * torch.tensor([0.6, 0.5, 0.5], device=x.device)
    # Some by little; those are seen on a large part alone.
    slight = chance(x, SLIGHT_SHARE)
    length = torch.where(slight[:, None], uniform(x, 0.25, 0.45, 1), uniform(x, 0.45, 1.65, 1))
    shift = shift / (shift.norm(dim=1, keepdim=True) + 1e-6) * length
    area = mask.sum((1, 2)) / (seen.sum((1, 2)) + 1)
    fit = (area > torch.where(slight, 0.05, 0.01)) & (area < 0.5)
    fit &= ((seed - rim).abs().amax(1) > 0.35)
    # A flatter or a stronger shading of the part, as of another cloth.
    shading = torch.where(chance(x, 0.3, 1, 1, 1), uniform(x, 0.5, 1.2, 1, 1, 1), torch.ones(n, 1, 1, 1, device=x.device))
    mean = lanes((means(query) * mask[:, None]).sum((2, 3), keepdim=True) / (mask.sum((1, 2)).view(-1, 1, 1, 1) + 1e-6))
    target = mean + (query - mean) * shading + lanes(shift[:, :, None, None])
    changed = clipped(query + (target - query) * mask[:, None])
    # Where the colour was already at its end, nothing may be left of the change.
    left = ((changed - query).abs().amax(1) * mask).sum((1, 2)) / (mask.sum((1, 2)) + 1e-6)
    fit &= left > torch.where(slight, 0.2, 0.42)
    x = torch.cat([stored, torch.where(fit[:, None, None, None], changed, query), x[:, -1:]], 1)
    return x, torch.where(fit, torch.ones_like(kind), kind)


def patched(x, kind):
    """Lays a piece of other pictures into the middle: on both, it is the same picture still; on one, or two pieces in
    one place, it is another print. Some are small, as words are."""
    n = len(x)
    size = torch.where(chance(x, 0.35, 1), uniform(x, 1.5, 5, 2), uniform(x, 4, 13, 2))  # half the height and width
    stored, query, seen = x[:, :LANES], x[:, LANES : 2 * LANES], x[:, -1]
    yy, xx = rows_and_columns(x)
    total = seen.sum((1, 2)) + 1e-6
    middle = torch.stack([(seen * yy).sum((1, 2)) / total, (seen * xx).sum((1, 2)) / total], 1)
    spread = torch.sqrt(torch.stack([(seen * (yy - middle[:, 0, None, None]) ** 2).sum((1, 2)) / total,
                                     (seen * (xx - middle[:, 1, None, None]) ** 2).sum((1, 2)) / total], 1))
    at = middle + spread * uniform(x, -0.8, 0.8, 2)
    dy, dx = (yy - at[:, 0, None, None]) / size[:, 0, None, None], (xx - at[:, 1, None, None]) / size[:, 1, None, None]
    far = torch.where(chance(x, 0.5, 1, 1), torch.maximum(dy.abs(), dx.abs()), torch.sqrt(dy**2 + dx**2))
    mask = (((1 - far) * 4).clamp(0, 1) * seen * uniform(x, 0.75, 1, 1, 1))[:, None]
    pieces = []
    for _ in range(2):
        other = torch.randperm(n, device=x.device)
        piece = torch.roll(x[other, :LANES], (int(torch.randint(0, SIDE, (1,))), int(torch.randint(0, SIDE, (1,)))), (2, 3))
        if torch.rand(1) < 0.3:
            piece = -piece
        # A word or a drawing: one ink where the piece is dark.
        ink = lanes(torch.randn(n, 3, 1, 1, device=x.device) * torch.tensor([1.0, 0.8, 0.8], device=x.device).view(1, 3, 1, 1))
        luma = piece[:, :LUMA]
        dark = (luma > luma.mean((1, 2, 3), keepdim=True)).float()
        dark = torch.cat([dark, dark.mean(1, keepdim=True).expand(-1, 2, -1, -1)], 1)
        inked = chance(x, 0.4, 1, 1, 1)
        pieces.append((torch.where(inked, ink.expand_as(piece), piece), torch.where(inked, dark, torch.ones_like(dark))))
    (a, a_mask), (b, b_mask) = pieces
    both = chance(x, 0.5)[:, None, None, None]
    part = chance(x, 0.62)
    join = ~part
    on_stored = stored + (a - stored) * mask * a_mask
    other_print = torch.where(both, query + (b - query) * mask * b_mask, query)
    change = ((on_stored - stored) - (other_print - query)).abs().amax(1)
    changed = ((change > 0.6) & (mask[:, 0] > 0.3)).sum((1, 2))
    part &= (changed / total > 0.004) & (changed >= 6)
    swap = chance(x, 0.5)
    with_a = query + (a - query) * mask * a_mask
    def choose(condition, yes, no):
        return torch.where(condition[:, None, None, None], yes, no)
    new_stored = choose(join | (part & swap), on_stored, choose(part & ~swap, torch.where(both, stored + (b - stored) * mask * b_mask, stored), stored))
    new_query = choose(join, with_a, choose(part & swap, other_print, choose(part & ~swap, with_a, query)))
    x = torch.cat([new_stored, new_query, x[:, -1:]], 1)
    return x, torch.where(part, torch.full_like(kind, 2), kind)


def turned_colours(x):
    """Both pictures in other colours alike; then the query by a little more, as an edit would."""
    n = len(x)
    angle = torch.where(chance(x, 0.5), uniform(x, -math.pi, math.pi), torch.zeros(n, device=x.device))
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    mirror = torch.where(chance(x, 0.25), -1.0, 1.0)[:, None, None]
    gain, offset = (torch.where(chance(x, 0.4), uniform(x, *r), torch.full((n,), v, device=x.device))[:, None, None]
                    for r, v in (((0.75, 1.2), 1.0), ((-0.3, 0.3), 0.0)))
    depth = torch.where(chance(x, 0.4), uniform(x, 0.75, 1.3), torch.ones(n, device=x.device))[:, None, None]
    out = []
    for picture in (x[:, :LANES], x[:, LANES : 2 * LANES]):
        blue, red = picture[:, LUMA] * mirror, picture[:, LUMA + 1]
        out += [picture[:, :LUMA] * gain[:, None] + offset[:, None], ((blue * cos - red * sin) * depth)[:, None],
                ((blue * sin + red * cos) * depth)[:, None]]
    x = torch.cat([clipped(torch.cat(out, 1)), x[:, -1:]], 1)
    fit = chance(x, 0.3)[:, None, None, None]
    scale = torch.where(fit, uniform(x, 0.85, 1.15, 3, 1, 1), torch.ones(n, 3, 1, 1, device=x.device))
    step = torch.where(fit, torch.randn(n, 3, 1, 1, device=x.device) * torch.tensor([0.15, 0.08, 0.08], device=x.device).view(1, 3, 1, 1),
                       torch.zeros(n, 3, 1, 1, device=x.device))
    return torch.cat([x[:, :LANES], clipped(x[:, LANES : 2 * LANES] * lanes(scale) + lanes(step)), x[:, -1:]], 1)


def sampled(pictures, at, padding="border"):
    """Planes of `LANES` for each picture, looked at in other places; luma as finely as it is kept."""
    out = []
    for picture in pictures.split(LANES, 1):
        luma = functional.pixel_shuffle(picture[:, :LUMA], 2)
        finer = functional.interpolate(at.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear", align_corners=False)
        luma = functional.grid_sample(luma, finer.permute(0, 2, 3, 1), padding_mode=padding, align_corners=False)
        colour = functional.grid_sample(picture[:, LUMA:], at, padding_mode=padding, align_corners=False)
        out += [functional.pixel_unshuffle(luma, 2), colour]
    return torch.cat(out, 1)


def warped(x):
    """Both by one small turn, scale and shift; the query by a little more: the aligner is not exact."""
    n = len(x)

    def grid(turn, scale, shift):
        turn, size = turn * torch.randn(n, device=x.device), torch.exp(scale * torch.randn(n, device=x.device))
        cos, sin = torch.cos(turn) * size, torch.sin(turn) * size
        move = shift * torch.randn(n, 2, device=x.device)
        rows = torch.stack([torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)], 1)
        return functional.affine_grid(rows, (n, 1, SIDE, SIDE), align_corners=False)

    if torch.rand(1) < 0.35:
        at = grid(0.12, 0.1, 0.06)
        seen = functional.grid_sample(x[:, -1:], at, padding_mode="zeros", align_corners=False)
        x = torch.cat([sampled(x[:, :-1], at), (seen > 0.5).float()], 1)
    if torch.rand(1) < 0.25:
        x = torch.cat([x[:, :LANES], sampled(x[:, LANES:-1], grid(0.006, 0.005, 0.006)), x[:, -1:]], 1)
    return x


def coarsened(x):
    """One of the two as a small upload was."""
    if torch.rand(1) < 0.3:
        first = 0 if torch.rand(1) < 0.5 else LANES
        side = int(torch.randint(28, 100, (1,)))
        picture = x[:, first : first + LANES]

        def coarse(planes, side):
            small = functional.interpolate(planes, (side, side), mode="area")
            small = small + 0.03 * torch.randn_like(small)
            return functional.interpolate(small, planes.shape[2:], mode="bilinear", align_corners=False)

        luma = functional.pixel_unshuffle(coarse(functional.pixel_shuffle(picture[:, :LUMA], 2), side), 2)
        colour = coarse(picture[:, LUMA:], min(side, SIDE))
        x = torch.cat([x[:, :first], luma, colour, x[:, first + LANES :]], 1)
    return x


def exchanged(scalars):
    """What is measured when the query is the stored one."""
    _, _, _, inliers, share, overlap_stored, overlap_query, scale, likeness = scalars.unbind(1)
    scale = (1 / (scale * SPREAD["scale"]).clamp(0.05)) / SPREAD["scale"]
    return torch.stack([scalars[:, 1], scalars[:, 0], scalars[:, 2], inliers, share, overlap_query, overlap_stored,
                        scale.clamp(-1, 3), likeness], 1)


def quarters(x, order):
    """The quarters of each place in another order."""
    order = [*order, 4, 5]
    return x[:, [*order, *(LANES + lane for lane in order), 2 * LANES]]


def some(change, share, x, kind):
    """`change` for a share of the same pictures."""
    rows = torch.nonzero((kind == 0) & chance(x, share))[:, 0]
    if len(rows) > 1:
        x, kind = x.clone(), kind.clone()
        x[rows], kind[rows] = change(x[rows], kind[rows])
    return x, kind


def itself(x, kind):
    """The query becomes the stored one: a picture is the same as itself, whatever it shows."""
    return torch.cat([x[:, :LANES], x[:, :LANES], x[:, -1:]], 1), kind


def augmented(x, kind, scalars):
    x, kind = some(patched, 0.32, x, kind)
    x, kind = some(recoloured, 0.3, x, kind)
    x, kind = some(itself, 0.06, x, kind)
    if torch.rand(1) < 0.5:
        x, scalars = torch.cat([x[:, LANES:-1], x[:, :LANES], x[:, -1:]], 1), exchanged(scalars)
    x = coarsened(warped(turned_colours(x)))
    if torch.rand(1) < 0.5:
        x = quarters(x.flip(3), (1, 0, 3, 2))
    if torch.rand(1) < 0.3:
        x = quarters(x.flip(2), (2, 3, 0, 1))
    if torch.rand(1) < 0.3:
        x = quarters(x.transpose(2, 3), (0, 2, 1, 3))
    return x.contiguous(memory_format=torch.channels_last), kind, scalars


def answers(model, pairs, size=512):
    model.eval()
    device = next(model.parameters()).device
    out = []
    with torch.no_grad():
        for at in range(0, len(pairs.index), size):
            planes, _, scalars = pairs.batch(pairs.index[at : at + size])
            out.append(model(normalised(planes.to(device)), scalars.to(device)).cpu())
    return torch.cat(out)


def report(model, pairs):
    logits = answers(model, pairs)
    score = (logits[:, 0] - torch.logsumexp(logits[:, 1:], 1)).numpy()
    names = sorted(pairs.files)
    kind = np.concatenate([pairs.files[n][1] for n in names])
    rows = [row for n in names for row in pairs.files[n][3]]
    note = np.array([row["note"] if not row["note"].isdigit() else "made" for row in rows])
    right, lines = score[kind == 0], []
    for name, chosen in [("all", kind > 0)] + [(f"{KINDS[k]}/{n}", (kind == k) & (note == n))
                                                for k in (1, 2, 3) for n in np.unique(note[kind == k])]:
        wrong = np.sort(score[chosen])[::-1]
        cuts = [wrong[min(int(len(wrong) * rate), len(wrong) - 1)] for rate in (0.05, 0.01, 0.001)]
        lines.append(f"{name} {len(wrong)}: " + " ".join(f"{(right > cut).mean():.3f}" for cut in cuts))
    print("  accepted at 5, 1, 0.1 %: " + "; ".join(lines), flush=True)
    return score


def export(model, path):
    """The weights with the batch norms folded in, as src/verify/judge.rs reads them; half of what they take as ONNX."""
    from safetensors.numpy import save_file

    model.eval()
    tensors, number = {}, 0
    for layer, norm in zip(model.body, list(model.body)[1:]):
        if isinstance(layer, nn.Conv2d):
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            tensors[f"conv{number}.weight"] = layer.weight * scale[:, None, None, None]
            tensors[f"conv{number}.bias"] = norm.bias - norm.running_mean * scale
            number += 1
    for name, layer in (("hidden", model.hidden), ("head", model.head)):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = layer.weight, layer.bias
    save_file({name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}, str(path))


def imported(model, path, device):
    """Takes over exported weights; the batch norms, which are folded into them, do nothing but add."""
    from safetensors.numpy import load_file

    tensors = {name: torch.from_numpy(tensor).to(device) for name, tensor in load_file(str(path)).items()}
    convolutions = [layer for layer in model.body if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in model.body if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for number, (layer, norm) in enumerate(zip(convolutions, norms)):
            layer.weight.copy_(tensors[f"conv{number}.weight"])
            norm.bias.copy_(tensors[f"conv{number}.bias"])
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)
        for name, layer in (("hidden", model.hidden), ("head", model.head)):
            layer.weight.copy_(tensors[f"{name}.weight"])
            layer.bias.copy_(tensors[f"{name}.bias"])


def calmed(model, planes):
    """Gives each batch norm the mean and the variance of what it is given, without changing what comes out."""
    model.eval()
    with torch.no_grad():
        x = inputs(planes)
        for layer in model.body:
            if isinstance(layer, nn.BatchNorm2d):
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
                layer.weight.copy_(torch.sqrt(variance + layer.eps))
                layer.bias.add_(mean)
                layer.running_mean.copy_(mean)
                layer.running_var.copy_(variance)
            x = layer(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--state", type=Path, required=True, metavar="FILE")
    parser.add_argument("--export", type=Path, metavar="FILE")
    parser.add_argument("--begin", type=Path, metavar="FILE", help="exported weights to go on from, where --state is not there yet")
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)), help="channels of the convolutions (%(default)s)")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    names = (args.pairs / "names").read_text().split()
    learnt, watched = Pairs(args.pairs, names, False), Pairs(args.pairs, names, True)
    torch.manual_seed(args.seed)
    model = Judge([int(width) for width in args.widths.split(",")]).to(args.device, memory_format=torch.channels_last)
    print(sum(p.numel() for p in model.parameters()), "weights", flush=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=1e-3)
    step, spent = 0, 0.0
    # What is watched and exported: the mean of the last thousand steps or so, which is steadier than the last one.
    mean_of_steps = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True)
    if args.state.exists():
        state = torch.load(args.state, map_location=args.device)
        model.load_state_dict(state["model"])
        mean_of_steps.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    elif args.begin:
        imported(model, args.begin, args.device)
        if watched.files:
            report(model, watched)
        some = torch.from_numpy(np.concatenate([planes[:200] for planes, *_ in learnt.files.values()])[:2000])
        calmed(model, normalised(some.to(args.device)))
    began, passes, total = time.time() - spent, 0, 60 * args.minutes
    torch.manual_seed(args.seed + step)
    taken, told = 0, time.time()
    while time.time() - began < total:
        learnt.refresh()
        if len(learnt.files) > taken:
            whole, taken = learnt.whole(args.device), len(learnt.files)
        order = torch.randperm(len(whole[1]), device=args.device)
        losses = []
        model.train()
        for at in range(0, len(order) - args.batch + 1, args.batch):
            done = (time.time() - began) / total
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
            planes, kind, scalars = (part[order[at : at + args.batch]] for part in whole)
            x, kind, scalars = augmented(normalised(planes), kind, scalars)
            loss = functional.cross_entropy(model(x, scalars), kind)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            mean_of_steps.update_parameters(model)
            step += 1
            losses.append(loss.detach())
        passes += 1
        if time.time() - told > 45 or time.time() - began >= total:
            told = time.time()
            mean = float(torch.stack(losses).mean()) if losses else 0
            print(f"pass {passes}, step {step}, {len(whole[1])} pairs, loss {mean:.4f}, {(told - began) / 60:.1f} min", flush=True)
            torch.save({"model": model.state_dict(), "mean": mean_of_steps.state_dict(), "optimiser": optimiser.state_dict(), "step": step,
                        "spent": time.time() - began}, args.state)
            if watched.files:
                report(mean_of_steps.module, watched)
            if args.export:
                export(mean_of_steps.module, args.export)


if __name__ == "__main__":
    main()
