"""Seeded edits beyond edits.py: casts and light, posters, collages and scenes, parts in another colour, other goods in the
middle of the same picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import edits


def cast(picture, rng):
    """A gamma and another gain for each channel."""
    a = np.asarray(picture, np.float32) / 255
    gain, gamma = rng.uniform(0.85, 1.15, 3), rng.uniform(0.8, 1.25)
    return Image.fromarray((np.clip(a**gamma * gain, 0, 1) * 255).astype(np.uint8))


def light(picture, rng):
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.75, 1.3))
    return picture


def poster(picture, rng, others):
    """On a larger coloured ground or another picture, 35-70 % of its area, with one to three lines of text."""
    w, h = picture.size
    area, shape = w * h / rng.uniform(0.35, 0.7), rng.uniform(1.0, 1.5)
    width = int((area / shape) ** 0.5)
    width, height = max(width, int(w * 1.02)), max(int(width * shape), int(h * 1.02))
    canvas = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 256, 3)))
    if rng.random() < 0.4:
        other = ImageOps.fit(others[int(rng.integers(len(others)))], (width, height))
        if rng.random() < 0.5:
            other = other.filter(ImageFilter.GaussianBlur(4))
        canvas.paste(other, (0, 0))
    canvas.paste(picture, (int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))))
    draw = edits.ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        at = (width * rng.uniform(0, 0.4), height * rng.uniform(0, 0.95))
        ink = tuple(int(v) for v in rng.integers(0, 256, 3))
        edits.text(draw, rng, at, ink, max(8, int(width * rng.uniform(0.03, 0.08))))
    return canvas


def collage(picture, rng, others):
    """One of four squares."""
    cell, gap = int(rng.integers(200, 321)), int(rng.integers(0, 9))
    canvas = Image.new("RGB", (2 * cell + gap,) * 2, (255, 255, 255))
    mine, fit = int(rng.integers(4)), rng.random() < 0.5
    for place in range(4):
        tile = picture if place == mine else others[int(rng.integers(len(others)))]
        tile = ImageOps.pad(tile, (cell, cell), color=(255, 255, 255)) if fit else ImageOps.fit(tile, (cell, cell))
        canvas.paste(tile, (place % 2 * (cell + gap), place // 2 * (cell + gap)))
    return edits.jpeg(canvas, 85)


def scene(picture, rng, others):
    """A little turned on another picture that is out of focus, 40-75 % of its width."""
    ground = ImageOps.fit(others[int(rng.integers(len(others)))], (560, 560)).filter(ImageFilter.GaussianBlur(3))
    small = ImageOps.contain(picture, (int(560 * rng.uniform(0.4, 0.75)),) * 2).convert("RGBA")
    small = small.rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC, expand=True)
    room = [560 - side for side in small.size]
    ground.paste(small, tuple(int(rng.uniform(min(0, r), max(0, r))) for r in room), small)
    return edits.jpeg(ground, 85)


def combo(picture, rng):
    picture = edits.banner(edits.crop(picture, rng, rng.uniform(0.6, 0.9)), rng)
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    return edits.jpeg(edits.scaled(picture, 0.7), 65)


def recolour(picture, rng):
    """(another colour of the thing alone, its name); None when hardly anything would show."""
    a = np.asarray(picture, np.float32)
    hsv = np.asarray(picture.convert("HSV"), np.float32)
    h, s, v = hsv[..., 0] * 360 / 256, hsv[..., 1] / 255, hsv[..., 2] / 255
    rim = np.concatenate([side.reshape(-1, 3) for side in (a[:4], a[-4:], a[:, :4], a[:, -4:])])
    ground = np.median(rim, 0)
    plain = (np.abs(rim - ground).max(1) < 25).mean() > 0.6
    fore = np.abs(a - ground).max(2) > 25
    coloured = (s > 0.18) & (v > 0.12)
    if plain:
        mask = coloured & fore
    else:
        height, width = h.shape
        middle = np.zeros_like(coloured)
        middle[height // 5 : -height // 5, width // 5 : -width // 5] = True
        count = np.histogram(h[middle & coloured], 36, (0, 360))[0].astype(float)
        count = count + np.roll(count, 1) + np.roll(count, -1)
        mask = coloured & (np.abs((h - (count.argmax() * 10 + 5) + 180) % 360 - 180) < 35)
    mode = rng.choice(["hue", "hue", "hue", "grey", "vivid", "light", "dark"])
    if plain and mode in ("light", "dark"):
        mask = fore
    soft = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    soft = np.asarray(soft, np.float32)[..., None] / 255
    turn = rng.uniform(25, 180) * (1 if rng.random() < 0.5 else -1)
    if mode == "hue":
        h = (h + turn) % 360
    elif mode == "grey":
        s = s * rng.uniform(0, 0.35)
    elif mode == "vivid":
        s, h = np.clip(s * rng.uniform(1.8, 2.6), 0, 1), (h + rng.uniform(-15, 15)) % 360
    elif mode == "light":
        v, s = v + (1 - v) * rng.uniform(0.4, 0.75), s * rng.uniform(0.4, 0.9)
    else:
        v = v * rng.uniform(0.3, 0.6)
    new = np.stack([h * 256 / 360, s * 255, v * 255], -1).clip(0, 255).astype(np.uint8)
    new = np.asarray(Image.fromarray(new, "HSV").convert("RGB"), np.float32)
    out = a * (1 - soft) + new * soft
    if (np.abs(out - a).max(2) > 20).mean() < 0.04:
        return None
    return Image.fromarray(out.clip(0, 255).astype(np.uint8)), str(mode)


def swap(picture, rng, others):
    """The middle shows something else: the same poster or the same ground for other goods."""
    area, shape = rng.uniform(0.2, 0.45), rng.uniform(0.7, 1.4)
    w = min(picture.width - 2, int(picture.width * (area * shape) ** 0.5))
    h = min(picture.height - 2, int(picture.height * (area / shape) ** 0.5))
    x = int((picture.width - w) * rng.uniform(0.25, 0.75))
    y = int((picture.height - h) * rng.uniform(0.25, 0.75))
    out = picture.copy()
    out.paste(ImageOps.fit(others[int(rng.integers(len(others)))], (w, h)), (x, y))
    return out
