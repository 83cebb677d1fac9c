"""Seeded edits of a picture: what resellers do to a photo that was seen before.

`HEAVY` and `LIGHT` map a name to a function of (picture, generator). Every result is
JPEG-encoded once, as a re-uploaded picture would be.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

WHITE = (255, 255, 255)


def jpeg(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def scaled(picture, factor):
    size = tuple(max(1, round(side * factor)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BICUBIC)


def crop(picture, rng, area):
    """Keep `area` of the picture's area, same aspect ratio, at a random place."""
    width, height = (max(1, round(side * area**0.5)) for side in picture.size)
    x = int(rng.integers(0, picture.width - width + 1))
    y = int(rng.integers(0, picture.height - height + 1))
    return picture.crop((x, y, x + width, y + height))


def text(draw, rng, box, ink, size):
    letters = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUVWXYZ0123456789 -%"), 14))
    draw.text(box, letters, fill=ink, font=ImageFont.load_default(size))


def banner(picture, rng):
    """A text banner over 14-20 % of the height and a half-transparent mark in the middle."""
    canvas = picture.convert("RGBA")
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    width, height = canvas.size
    tall = int(height * rng.uniform(0.14, 0.20))
    top = 0 if rng.random() < 0.5 else height - tall
    ground = tuple(int(v) for v in rng.integers(0, 256, 3))
    draw.rectangle((0, top, width, top + tall), fill=ground + (255,))
    text(draw, rng, (width * 0.04, top + tall * 0.15), (255, 255, 255, 255), max(8, int(tall * 0.6)))
    text(draw, rng, (width * 0.15, height * 0.45), (255, 255, 255, 120), max(8, width // 10))
    return Image.alpha_composite(canvas, layer).convert("RGB")


def corner(picture, rng):
    """A small half-transparent mark in one corner."""
    canvas = picture.convert("RGBA")
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    width, height = canvas.size
    size = max(8, width // 24)
    x = width * 0.03 if rng.random() < 0.5 else width * 0.62
    y = height * 0.03 if rng.random() < 0.5 else height * 0.97 - size * 1.3
    ink = (255, 255, 255, 170) if rng.random() < 0.5 else (40, 40, 40, 170)
    text(ImageDraw.Draw(layer), rng, (x, y), ink, size)
    return Image.alpha_composite(canvas, layer).convert("RGB")


def turn(picture, rng):
    degrees = rng.uniform(8, 25) * (1 if rng.random() < 0.5 else -1)
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=WHITE)


def tone(picture, rng):
    """Brightness, contrast and saturation by up to 30 %, a hue step of up to 10 degrees, a blur."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.7, 1.3))
    picture = hue(picture, rng.uniform(-10, 10))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.003, 0.006) * max(picture.size)))


def hue(picture, degrees):
    h, s, v = picture.convert("HSV").split()
    step = round(degrees / 360 * 256)
    h = h.point([(value + step) % 256 for value in range(256)])
    return Image.merge("HSV", (h, s, v)).convert("RGB")


def recolour(picture, rng, least=8.0):
    """Another colour of the same thing, by hue; None when the picture has too little colour.

    `least` is the mean absolute difference (0..255) that the change must make.
    """
    changed = hue(picture, rng.uniform(60, 300))
    small = [np.asarray(p.resize((64, 64)), np.float32) for p in (picture, changed)]
    return changed if np.abs(small[0] - small[1]).mean() >= least else None


HEAVY = {
    "jpeg60-half": lambda p, r: jpeg(scaled(p, 0.5), 60),
    "crop-70": lambda p, r: crop(p, r, 0.70),
    "crop-40": lambda p, r: crop(p, r, 0.40),
    "banner": banner,
    "white-pad-15": lambda p, r: ImageOps.expand(p, round(max(p.size) * 0.15), WHITE),
    "mirror": lambda p, r: ImageOps.mirror(p),
    "turn-8-25": turn,
    "tone-blur": tone,
}
LIGHT = {
    "jpeg75": lambda p, r: jpeg(p, 75),
    "resize-60": lambda p, r: scaled(p, 0.6),
    "crop-97": lambda p, r: crop(p, r, 0.97**2),
    "corner-mark": corner,
}
ALL = {**LIGHT, **HEAVY}


def apply(name, picture, rng):
    return jpeg(ALL[name](picture, rng), 88)
