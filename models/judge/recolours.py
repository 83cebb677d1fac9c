"""Other colours of goods: of all of them or of a part, and as `tongkuan eval --make` and `calibrate` make them (`recoloured`:
what src/eval/recolour.rs does, in numpy)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

# Mean difference of a recoloured part, in 8-bit steps of the channel that differs most: less is hardly seen.
LEAST_CHANGE = 40
CHROMA = (0.08, 0.2)
REACH_DEGREES = (35.0, 60.0)
HUE_BINS = 36
RIM = 0.08
MOST_GROUND = 0.2


def ramp(value, low, high):
    return np.clip((value - low) / (high - low), 0, 1)


def hue_chroma_value(a):
    """Degrees (0 for grey) and two numbers 0..1 for each pixel of an [h, w, 3] picture of 0..255."""
    r, g, b = np.moveaxis(a / 255, -1, 0)
    value, least = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    chroma = value - least
    safe = np.where(chroma > 0, chroma, 1)
    sixth = np.where(value <= r, (g - b) / safe, np.where(value <= g, (b - r) / safe + 2, (r - g) / safe + 4))
    return np.where(chroma > 0, (sixth * 60 + 360) % 360, 0), chroma, value


def around(bins, reach):
    return sum(np.roll(bins, shift) for shift in range(-reach, reach + 1))


def strongest_hue(hue, chroma):
    """Of the colours near the middle that the rim does not have, in degrees; None where there is none."""
    h, w = hue.shape
    yy, xx = np.mgrid[:h, :w]
    dx, dy = (xx + 0.5) / w - 0.5, (yy + 0.5) / h - 0.5
    on_rim = np.maximum(np.abs(dx), np.abs(dy)) > 0.5 - RIM
    bins = (hue / 360 * HUE_BINS).astype(int) % HUE_BINS
    coloured = chroma >= CHROMA[0]
    weight = chroma * np.exp(-(dx**2 + dy**2) / 0.08)
    inner = np.bincount(bins[coloured & ~on_rim], weight[coloured & ~on_rim], HUE_BINS)
    rim = np.bincount(bins[coloured & on_rim], minlength=HUE_BINS).astype(float)
    fit = around(rim, int(REACH_DEGREES[1] / 360 * HUE_BINS)) <= MOST_GROUND * on_rim.sum()
    score = np.where(fit, around(inner, 1), -1)
    best = int(score.argmax())
    return (best + 0.5) * 360 / HUE_BINS if score[best] > 0 else None


def repainted(a, turn=0.0, saturation=1.0, dark=1.0, light=0.0):
    hue, chroma, value = hue_chroma_value(a)
    sixth = (hue + turn) % 360 / 60
    saturation = np.where(value > 0, np.minimum(chroma / np.maximum(value, 1e-6) * saturation, 1), 0)
    darker = value * dark
    value = darker + (1 - darker) * light
    chroma = saturation * value
    return np.stack([(value - chroma * np.clip(np.minimum((o + sixth) % 6, 4 - (o + sixth) % 6), 0, 1)) * 255
                     for o in (5.0, 3.0, 1.0)], -1)


def change(rng, turned_only):
    manner = 0 if turned_only else int(rng.integers(7))
    first, second = rng.random(2)
    if manner == 3:
        return {"saturation": 0.35 * first}
    if manner == 4:
        return {"saturation": 1.8 + 0.8 * first, "turn": 345 + 30 * second}
    if manner == 5:
        return {"light": 0.4 + 0.35 * first, "saturation": 0.4 + 0.5 * second}
    if manner == 6:
        return {"dark": 0.3 + 0.3 * first}
    return {"turn": 60 + 240 * first}


def recoloured(picture, rng, turned_only=False):
    """(the strongest colour of the goods in another one, 8-bit steps of the channel that differs most over what changed, share
    of the picture that changed); None when there is no colour to change."""
    a = np.asarray(picture, np.float32)
    hue, chroma, _ = hue_chroma_value(a)
    strongest = strongest_hue(hue, chroma)
    if strongest is None:
        return None
    apart = np.abs((hue - strongest + 540) % 360 - 180)
    weight = ramp(chroma, *CHROMA) * (1 - ramp(apart, *REACH_DEGREES))
    out = a + (repainted(a, **change(rng, turned_only)) - a) * weight[..., None]
    out = out.round().clip(0, 255)
    inside = weight > 0.5
    if not inside.any():
        return None
    size = float(np.abs(out - a)[inside].max(-1).mean())
    return Image.fromarray(out.astype(np.uint8)), size, float(inside.mean())


def clusters(small, k, rng):
    """Labels of a k-means over colour and, a little, place; [side, side]."""
    h, w = small.shape[:2]
    yy, xx = np.mgrid[:h, :w] / max(h, w)
    place = rng.uniform(20, 120)
    points = np.concatenate([small, (np.stack([yy, xx], -1) * place)], -1).reshape(-1, 5).astype(np.float32)
    centres = points[rng.choice(len(points), k, replace=False)]
    for _ in range(6):
        label = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        for i in range(k):
            if (label == i).any():
                centres[i] = points[label == i].mean(0)
    return label.reshape(h, w)


# The least share of the picture that a coloured part takes.
LEAST_PART = 0.008


def part(picture, rng, least=LEAST_PART, most=0.6):
    """A soft mask, 0..1, of one coloured part that is not the ground; None when there is none."""
    small = picture.copy()
    small.thumbnail((96, 96))
    a = np.asarray(small.convert("YCbCr"), np.float32)
    label = clusters(a, int(rng.integers(3, 8)), rng)
    rim = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    ground = np.bincount(rim).argmax()
    share = np.bincount(label.ravel()) / label.size
    # A ground falls into several clusters, by place and by shadows.
    plain = a[label == ground].mean(0)
    apart = [np.abs(a[label == i].mean(0) - plain).max() if share[i] else 0 for i in range(len(share))]
    fit = [i for i in range(len(share)) if i != ground and least < share[i] < most and apart[i] > 18]
    if not fit:
        return None
    if rng.random() < 0.3:
        chosen = np.isin(label, fit)  # all of the goods
    else:
        chosen = label == fit[int(rng.integers(len(fit)))]
        if rng.random() < 0.35:  # one place of it only: a strap, a lens
            h, w = label.shape
            inside = np.argwhere(chosen)
            cy, cx = inside[int(rng.integers(len(inside)))]
            yy, xx = np.mgrid[:h, :w]
            reach = rng.uniform(0.08, 0.45) * max(h, w)
            near = chosen & ((yy - cy) ** 2 + (xx - cx) ** 2 < reach**2)
            chosen = near if near.mean() > least else chosen
    mask = Image.fromarray((chosen * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.BILINEAR)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(1)), np.float32) / 255


def is_seen(size, share):
    """Whether people see a change by so many steps of so large a part: a small one must differ by more."""
    return share >= LEAST_PART and size >= max(LEAST_CHANGE, 6 / share**0.5)


# Of the made colours, those that are made as `eval --make` makes them.
EVALUATED_SHARE = 0.45


def other_colour(picture, rng):
    """The picture with a part in another colour, and by how much (8-bit steps, over the part); None when it can't be."""
    if rng.random() < EVALUATED_SHARE:
        made = recoloured(picture, rng, turned_only=rng.random() < 0.6)
        return made[:2] if made and is_seen(*made[1:]) else None
    mask = part(picture, rng)
    if mask is None:
        return None
    a = np.asarray(picture.convert("YCbCr"), np.float32)
    inside = mask > 0.5
    mean = a[inside].mean(0)
    luma, chroma = a[..., 0], a[..., 1:] - 128
    mode = rng.choice(["turn", "shift", "light", "replace", "both"], p=[0.22, 0.26, 0.17, 0.25, 0.1])
    new_luma, new_chroma = luma, chroma
    if mode in ("turn", "both"):
        angle = rng.uniform(0.3, np.pi) * rng.choice([-1, 1])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        new_chroma = chroma @ turn
    if mode in ("shift", "both"):
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(8, 50)
        new_chroma = new_chroma + size * np.array([np.cos(angle), np.sin(angle)], np.float32)
    if mode in ("light", "both"):
        to = rng.uniform(20, 235)
        if abs(to - mean[0]) < 22:
            to = mean[0] + 40 * (1 if mean[0] < 128 else -1)
        gain = rng.uniform(0.5, 1.0) if to < mean[0] else rng.uniform(0.6, 1.2)
        new_luma = (luma - mean[0]) * gain + to
    if mode == "replace":  # black, white, grey, beige, or any colour, with the shading of before
        to_luma = rng.choice([25, 45, 90, 130, 180, 225, 240]) + rng.normal(0, 6)
        to_chroma = rng.normal(0, 4, 2) if rng.random() < 0.5 else rng.normal(0, 28, 2)
        new_luma = (luma - mean[0]) * rng.uniform(0.4, 1.1) + to_luma
        new_chroma = (chroma - (mean[1:] - 128)) * rng.uniform(0, 0.6) + to_chroma
    new = np.concatenate([new_luma[..., None], new_chroma + 128], -1)
    out = a * (1 - mask[..., None]) + new * mask[..., None]
    out = Image.fromarray(out.clip(0, 255).astype(np.uint8), "YCbCr").convert("RGB")
    difference = np.asarray(out, np.float32) - np.asarray(picture, np.float32)
    size = float(np.abs(difference[inside]).max(-1).mean())
    return (out, size) if is_seen(size, inside.mean()) else None


# A slight change: by so many steps, of no less than this share of the picture.
SLIGHT_CHANGE, SLIGHT_PART = (16, LEAST_CHANGE), 0.03


def slightly_other_colour(picture, rng):
    """The picture with a part, or all, of the goods in a colour that differs by little, as shops have them (two blues, black and navy);
    None when it can't be."""
    mask = part(picture, rng, least=SLIGHT_PART)
    if mask is None or (mask > 0.5).mean() < SLIGHT_PART:
        return None
    a = np.asarray(picture.convert("YCbCr"), np.float32)
    luma, chroma = a[..., :1], a[..., 1:] - 128
    way = rng.random()
    if way < 0.45:
        angle = np.deg2rad(rng.uniform(14, 60)) * rng.choice([-1, 1])
        chroma = chroma @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    elif way < 0.85:
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(7, 24)
        chroma = chroma + size * np.array([np.cos(angle), np.sin(angle)], np.float32)
        luma = luma + rng.normal(0, 6)
    else:
        luma = luma + rng.uniform(16, 40) * rng.choice([-1, 1])
    new = np.concatenate([luma, chroma + 128], -1)
    out = a * (1 - mask[..., None]) + new * mask[..., None]
    out = Image.fromarray(out.clip(0, 255).astype(np.uint8), "YCbCr").convert("RGB")
    difference = np.asarray(out, np.float32) - np.asarray(picture, np.float32)
    size = float(np.abs(difference[mask > 0.5]).max(-1).mean())
    return (out, size) if SLIGHT_CHANGE[0] <= size < SLIGHT_CHANGE[1] else None
