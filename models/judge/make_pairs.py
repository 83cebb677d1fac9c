"""Make pairs of pictures for train.py: the same picture edited, and all that must not be taken for it.

Writes to standard output what `examples/pairs.rs` reads, and a line of JSON for each pair to --labels: `kind`, `edit`,
`group` (what must stay on one side of a split). Kinds:

  same      an edit, or a chain of two or three
  colour    a part or all of the goods has another colour: made, or a real colour family
  print     the same blank with another print, the same layout with other words, or other small words on the same thing
  goods     other goods: the most alike of other pictures, of shops' pictures, and of both in one tone; other goods in the
            middle of the same picture, small goods on the same plain ground

Pictures: the training tar files, the families of variants/fit, and the 3D emoji of the npm package
@lobehub/fluent-emoji-3d (MIT), which are goods on a plain ground that photographs of the training set lack.

Example
    python models/judge/make_pairs.py --tars train-0.tar train-1.tar train-2.tar --families variants/fit \\
        --objects package/assets --split fit --seed 1 --count 20000 --labels 1.ndjson | pairs > 1.bin
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import multiprocessing
import os
import string
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edits  # noqa: E402
import pictures  # noqa: E402
import recolours  # noqa: E402
import shop_edits  # noqa: E402

# Groups by a hash of their names, in tenths: `watch` tells how well the judge does, the
# calibration is made of `line`; train.py learns from `fit` alone.
SPLITS = {"watch": (0,), "line": (1, 2), "fit": tuple(range(3, 10))}
KINDS = ("same", "colour", "print", "goods")
SMALL_WORDS = ("label", "dish")
CHUNK = 1000
WORDS = """SALE NEW HOT BEST MODEL SIZE COLOR PRICE TEL Coming soon No image available QUALITY FACTORY FREE SHIPPING 100%
    COTTON STEEL LED USB 2024 2025 XL XXL PRO MAX MINI PLUS Loading Sold out Photo Picture not found Thank you Follow
    Love Peace Dream Team Sport Club Coffee Tea Milk Home Sweet Baby King Queen Paris London Tokyo New York""".split()


def jpeg_bytes(picture, quality):
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def any_colour(rng):
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def ground_colour(rng):
    if rng.random() < 0.6:
        return (255, 255, 255)
    if rng.random() < 0.6:
        return (int(rng.integers(215, 256)),) * 3
    return tuple(int(v) for v in rng.integers(150, 256, 3))


# --- edits ---------------------------------------------------------------------------------------------------------


def white_balance(picture, rng):
    gain = rng.uniform(0.86, 1.16, 3)
    a = np.asarray(picture, np.float32) * gain
    return Image.fromarray(a.clip(0, 255).astype(np.uint8))


def curves(picture, rng):
    """An S curve or its opposite, and lifted blacks."""
    x = np.linspace(0, 1, 256)
    bend, gamma, lift = rng.uniform(-0.35, 0.35), rng.uniform(0.75, 1.3), rng.uniform(0, 0.08)
    y = lift + (1 - lift) * np.clip(x**gamma + bend * x * (1 - x) * (2 * x - 1) * 2, 0, 1)
    return picture.point([int(v * 255) for v in y] * 3)


def scaled_down(picture, rng):
    return edits.scaled(picture, rng.uniform(0.35, 0.9))


def recompressed(picture, rng):
    return edits.jpeg(edits.scaled(picture, rng.uniform(0.35, 0.7)), int(rng.integers(50, 85)))


def thumbnail(picture, rng):
    return edits.scaled(picture, int(rng.integers(56, 110)) / max(picture.size))


def padded(picture, rng):
    w, h = (int(max(picture.size) * rng.uniform(0, 0.28)) for _ in "wh")
    left, top = int(w * rng.uniform(0, 1)), int(h * rng.uniform(0, 1))
    out = Image.new("RGB", (picture.width + w, picture.height + h), ground_colour(rng))
    out.paste(picture, (left, top))
    return out


def sticker(picture, rng):
    """One or two opaque marks near the rim: a price, a badge, a logo."""
    out = picture.copy()
    draw = ImageDraw.Draw(out)
    w, h = out.size
    for _ in range(int(rng.integers(1, 3))):
        side = rng.uniform(0.08, 0.24) * min(w, h)
        x = rng.choice([0.02, 0.98]) * w
        x = min(max(x - side * rng.uniform(0, 1), 0), w - side)
        y = rng.uniform(0, 1) * (h - side)
        box = (x, y, x + side * rng.uniform(0.7, 1.4), y + side * rng.uniform(0.4, 1.0))
        (draw.ellipse if rng.random() < 0.4 else draw.rectangle)(box, fill=any_colour(rng))
        edits.text(draw, rng, (box[0], box[1]), any_colour(rng), max(6, int((box[3] - box[1]) * 0.5)))
    return out


def crop_any(picture, rng):
    return edits.crop(picture, rng, rng.uniform(0.35, 0.97))


def turned(picture, rng):
    degrees = rng.uniform(2, 25) * (1 if rng.random() < 0.5 else -1)
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=ground_colour(rng))


COLOUR_EDITS = {"tone": edits.tone, "cast": shop_edits.cast, "light": shop_edits.light, "balance": white_balance,
                "curves": curves}
SHAPE_EDITS = {"crop": crop_any, "pad": padded, "mirror": lambda p, r: ImageOps.mirror(p), "turn": turned,
               "small": scaled_down, "recompressed": recompressed, "thumbnail": thumbnail}
COVER_EDITS = {"banner": edits.banner, "corner": edits.corner, "sticker": sticker}
PLACE_EDITS = ("poster", "collage", "scene")
PLACED_SHARE = 0.20


class Edits:
    def __init__(self, others):
        self.others = others
        self.all = {**COLOUR_EDITS, **SHAPE_EDITS, **COVER_EDITS,
                    "poster": lambda p, r: shop_edits.poster(p, r, others),
                    "collage": lambda p, r: shop_edits.collage(p, r, others),
                    "scene": lambda p, r: shop_edits.scene(p, r, others)}

    def chain(self, rng, hard=0.5):
        """Names of edits: most are one, some two or three; colour edits have a double share."""
        names = []
        n = int(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))
        kinds = [COLOUR_EDITS, SHAPE_EDITS, COVER_EDITS]
        for _ in range(n):
            kind = kinds[int(rng.choice(3, p=[0.40, 0.30, 0.30]))]
            name = list(kind)[int(rng.integers(len(kind)))]
            if kind is COVER_EDITS and rng.random() < 0.3:  # the edit that costs the most hits
                name = "banner"
            if name not in names:
                names.append(name)
        if rng.random() < PLACED_SHARE:
            names.append(PLACE_EDITS[int(rng.integers(3))])
        return names

    def apply(self, picture, names, rng):
        for name in names:
            picture = self.all[name](picture, rng)
            if min(picture.size) < 24:
                break
        return jpeg_bytes(picture, int(rng.integers(70, 96)))


# --- other prints and words -----------------------------------------------------------------------------------------


FONTS = []


def font(rng, size):
    return ImageFont.truetype(FONTS[int(rng.integers(len(FONTS)))], size) if FONTS else ImageFont.load_default(size)


def words(rng):
    if rng.random() < 0.5:
        return " ".join(rng.choice(WORDS, int(rng.integers(1, 4))))
    letters = string.ascii_uppercase + string.digits + "   "
    return "".join(rng.choice(list(letters), int(rng.integers(3, 12)))).strip() or "A1"


def motif(side, rng, others, objects):
    """An RGBA print: words, shapes, an object, or a piece of another picture."""
    out = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(out)
    kind = rng.choice(["words", "shapes", "object", "photo", "stripes"], p=[0.3, 0.2, 0.25, 0.15, 0.1])
    ink = any_colour(rng) + (255,)
    if kind == "words":
        lines = [words(rng) for _ in range(int(rng.integers(1, 4)))]
        tall = side // max(len(lines), 2)
        for i, line in enumerate(lines):
            size = max(6, min(int(tall * 0.8), int(1.6 * side / max(len(line), 1))))
            draw.text((side * rng.uniform(0, 0.15), i * tall), line, fill=ink, font=font(rng, size))
    elif kind == "shapes":
        for _ in range(int(rng.integers(1, 6))):
            x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0.08, 0.4) * side
            sides = int(rng.integers(2, 8))
            if sides == 2:
                draw.ellipse((x - r, y - r, x + r, y + r), fill=any_colour(rng) + (255,))
            else:
                draw.regular_polygon((x, y, r), sides, rng.uniform(0, 360), fill=any_colour(rng) + (255,))
    elif kind == "object" and objects:
        thing = objects[int(rng.integers(len(objects)))]
        out.paste(thing.resize((side, side)), (0, 0))
    elif kind == "stripes":
        n = int(rng.integers(2, 8))
        for i in range(n):
            if i % 2:
                draw.rectangle((0, side * i / n, side, side * (i + 1) / n), fill=ink)
        if rng.random() < 0.5:
            out = out.rotate(90)
    else:
        photo = others[int(rng.integers(len(others)))]
        out.paste(ImageOps.fit(photo, (side, side)), (0, 0))
        if rng.random() < 0.5:
            mask = Image.new("L", (side, side), 0)
            ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
            out.putalpha(mask)
    return out


def content_box(picture):
    """Left, top, right, bottom of what differs from the rim's colour."""
    small = np.asarray(picture, np.float32)
    rim = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    differs = np.abs(small - np.median(rim, 0)).max(-1) > 24
    ys, xs = np.where(differs)
    if len(ys) < 50:
        return (0, 0, picture.width, picture.height)
    return (*np.percentile(xs, [4], method="nearest"), *np.percentile(ys, [4], method="nearest"),
            *np.percentile(xs, [96], method="nearest"), *np.percentile(ys, [96], method="nearest"))


def two_prints(picture, rng, others, objects):
    """The picture with two prints in the same place."""
    left, top, right, bottom = (int(v) for v in content_box(picture))
    w, h = right - left, bottom - top
    if min(w, h) < 30:
        return None
    side = int(min(w, h) * rng.uniform(0.16, 0.6))
    x = left + int((w - side) * rng.uniform(0.25, 0.75))
    y = top + int((h - side) * rng.uniform(0.2, 0.7))
    alpha, shade = rng.uniform(0.75, 1.0), rng.uniform(0.0, 0.5)
    under = np.asarray(picture.crop((x, y, x + side, y + side)).convert("L"), np.float32)
    light = 1 + shade * (under[..., None] / max(under.mean(), 1) - 1)
    first, second = motif(side, rng, others, objects), motif(side, rng, others, objects)
    if rng.random() < 0.15:
        second = None
    made = []
    for one in (first, second):
        out = picture.copy()
        if one is not None:
            a = np.asarray(one, np.float32)
            shaded = Image.fromarray((a[..., :3] * light).clip(0, 255).astype(np.uint8))
            out.paste(shaded, (x, y), Image.fromarray((a[..., 3] * alpha).astype(np.uint8)))
        made.append(out)
    a, b = (np.asarray(p, np.float32)[y : y + side, x : x + side] for p in made)
    share = (np.abs(a - b).max(-1) > 40).sum() / (w * h)
    if share < 0.015:
        return None
    made.reverse() if second is not None or rng.random() < 0.5 else None
    return made


def dish(draw, size, rng, ink, text):
    """A round thing with rings, a row of dots along the rim, and one line of small words."""
    w, h = size
    radius, pale = 0.46 * min(w, h), tuple(int(v) for v in rng.integers(150, 250, 3))
    for share, fill in ((1.0, pale), (rng.uniform(0.5, 0.9), any_colour(rng)), (rng.uniform(0.3, 0.8), pale)):
        r = radius * share
        draw.ellipse((w / 2 - r, h / 2 - r, w / 2 + r, h / 2 + r), fill=fill, outline=(90, 90, 90), width=1)
    dots, tint, r = int(rng.integers(0, 30)), any_colour(rng), radius * rng.uniform(0.02, 0.06)
    for i in range(dots):
        x, y = w / 2 + 0.9 * radius * np.cos(2 * np.pi * i / dots), h / 2 + 0.9 * radius * np.sin(2 * np.pi * i / dots)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tint)
    tall = max(9, int(min(w, h) * rng.uniform(0.03, 0.09)))
    draw.text((w / 2, h / 2 + radius * rng.uniform(-0.5, 0.5)), text, fill=ink, font=font(rng, tall), anchor="mm")


def other_label(picture, rng):
    """The picture with two lines of small words in one place, one of each; None where they differ in next to nothing."""
    left, top, right, bottom = (int(v) for v in content_box(picture))
    long = max(right - left, bottom - top)
    if long < 0.35 * max(picture.size) or long < 160:
        return None
    tall = int(long * rng.uniform(0.035, 0.09))
    x, y = left + (right - left) * rng.uniform(0.1, 0.6), top + (bottom - top) * rng.uniform(0.1, 0.85)
    under = np.asarray(picture.crop((int(x), int(y), int(x) + 4 * tall, int(y) + tall)).convert("L")).mean()
    ink = (250, 250, 245) if under < 110 else (20, 20, 25)
    plate = any_colour(rng) if rng.random() < 0.3 else None
    f, made = font(rng, tall), []
    for _ in range(2):
        out = picture.copy()
        draw, text = ImageDraw.Draw(out), words(rng)
        if plate:
            draw.rectangle((x - 2, y - 2, x + 6 * tall, y + tall * 1.3), fill=plate)
            ink = (250,) * 3 if sum(plate) < 380 else (20,) * 3
        draw.text((x, y), text, fill=ink, font=f)
        made.append(out)
    changed = (np.abs(np.asarray(made[0], np.float32) - np.asarray(made[1], np.float32)).max(-1) > 60).sum()
    return made if changed > 0.25 * tall * tall else None


LAYOUTS = ("placeholder", "table", "certificate", "plate")


def layout(rng, kind):
    """Two cards that share all but words: placeholders, size charts, certificates, plates, dishes."""
    w, h = int(rng.integers(260, 520)), int(rng.integers(200, 520))
    ground, ink = ground_colour(rng), any_colour(rng)
    if abs(sum(ground) - sum(ink)) < 200:
        ink = (20, 20, 20)
    style = int(rng.integers(1 << 30))

    def card(text_seed, ground):
        r, t = np.random.default_rng(style), np.random.default_rng(text_seed)
        out = Image.new("RGB", (w, h), ground)
        draw = ImageDraw.Draw(out)
        if kind == "placeholder":
            size = int(r.integers(18, 46))
            f = font(r, size)
            if r.random() < 0.5:
                box = (w * 0.3, h * 0.2, w * 0.7, h * 0.5)
                draw.rectangle(box, outline=ink, width=3)
                draw.ellipse((w * 0.4, h * 0.28, w * 0.48, h * 0.36), outline=ink, width=3)
            line = words(t)
            draw.text((w / 2, h * 0.68), line, fill=ink, font=f, anchor="mm")
        elif kind == "table":
            rows, columns = int(r.integers(4, 10)), int(r.integers(3, 7))
            f = font(r, max(8, int(min(h / rows * 0.5, w / columns * 0.3))))
            draw.text((w / 2, h * 0.06), words(r), fill=ink, font=f, anchor="mm")
            for i in range(rows + 1):
                y = h * (0.12 + 0.84 * i / rows)
                draw.line((w * 0.04, y, w * 0.96, y), fill=ink, width=1)
            for j in range(columns + 1):
                x = w * (0.04 + 0.92 * j / columns)
                draw.line((x, h * 0.12, x, h * 0.96), fill=ink, width=1)
            for i in range(rows):
                for j in range(columns):
                    cell = (w * (0.04 + 0.92 * (j + 0.5) / columns), h * (0.12 + 0.84 * (i + 0.5) / rows))
                    text = rng_word(r) if i == 0 or j == 0 else str(t.integers(20, 130))
                    draw.text(cell, text, fill=ink, font=f, anchor="mm")
        elif kind == "certificate":
            draw.rectangle((8, 8, w - 8, h - 8), outline=ink, width=4)
            f, g = font(r, max(12, h // 12)), font(r, max(8, h // 26))
            draw.text((w / 2, h * 0.14), words(r), fill=ink, font=f, anchor="mm")
            for i in range(int(r.integers(5, 10))):
                draw.text((w * 0.12, h * (0.28 + 0.07 * i)), words(t) + " " + words(t), fill=ink, font=g)
            draw.ellipse((w * 0.68, h * 0.74, w * 0.86, h * 0.74 + w * 0.18), outline=any_colour(r), width=4)
        elif kind == "dish":
            dish(draw, (w, h), r, ink, words(t))
        else:
            plate = any_colour(r)
            draw.rounded_rectangle((w * 0.1, h * 0.2, w * 0.9, h * 0.8), 16, fill=plate, outline=ink, width=3)
            f = font(r, int(r.integers(h // 10, max(h // 4, h // 10 + 1))))
            draw.text((w / 2, h / 2), words(t), fill=(255,) * 3 if sum(plate) < 380 else (0,) * 3, font=f, anchor="mm")
        return out

    a, b = card(int(rng.integers(1 << 30)), ground), card(int(rng.integers(1 << 30)), ground)
    if (np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).max(-1) > 40).mean() < 0.004:
        return None
    return [a, b]


def rng_word(rng):
    return str(rng.choice(WORDS))


# --- other goods -----------------------------------------------------------------------------------------------------


def on_plain(picture, side, share, ground, place, rng):
    """Small on a plain ground."""
    out = Image.new("RGB", (side, side), ground)
    long = max(8, int(side * share))
    if picture.mode == "RGBA":
        small = picture.resize((long, long), Image.Resampling.BICUBIC)
        out.paste(small, (int((side - long) * place[0]), int((side - long) * place[1])), small)
    else:
        small = picture.copy()
        small.thumbnail((long, long), Image.Resampling.BICUBIC)
        out.paste(small, (int((side - small.width) * place[0]), int((side - small.height) * place[1])))
    return out


def toned_like(picture, other):
    """The picture with the mean and the spread of each channel that `other` has where goods show (Reinhard et al., 2001)."""

    def goods(one):
        left, top, right, bottom = (int(v) for v in content_box(one))
        a = np.asarray(one, np.float32)[top:bottom, left:right].reshape(-1, 3)
        return a.mean(0), a.std(0) + 4

    (own, own_spread), (mean, spread) = goods(picture), goods(other)
    a = np.asarray(picture, np.float32)
    toned = (a - own) * np.clip(spread / own_spread, 0.5, 2) + mean
    shows = np.abs(a - np.median(np.concatenate([a[0], a[-1], a[:, 0], a[:, -1]]), 0)).max(-1, keepdims=True)
    return Image.fromarray(np.where(shows > 16, toned, a).clip(0, 255).astype(np.uint8))


# --- the whole --------------------------------------------------------------------------------------------------------


def split_of(group):
    tenth = zlib.crc32(b"watch" + group.encode()) % 10
    return next(name for name, tenths in SPLITS.items() if tenth in tenths)


# Of the pictures, and of each kind of pair: so many are narrow strips, so many are stored and asked without an edit.
STRIP_SHARE = 0.08
UNEDITED_SHARE = {"same": 0.15, "colour": 0.35, "print": 0.35, "goods": 0.35}


def strip_box(size, rng):
    """Left, top, right, bottom of a strip that is 2 to 4 times as long as wide; along the longer side, mostly."""
    (w, h), ratio, at = size, rng.uniform(2, 4), rng.uniform(0.2, 0.8)
    if (w > h) != (rng.random() < 0.2):
        tall = int(max(min(h, w / ratio), 24))
        top = int((h - tall) * at)
        return 0, top, w, top + tall
    wide = int(max(min(w, h / ratio), 24))
    left = int((w - wide) * at)
    return left, 0, left + wide, h


class Source:
    def __init__(self, args):
        rng = np.random.default_rng(1)
        self.photos = [(n, p) for n, p in pictures.from_tars(args.tars) if split_of(n) == args.split]
        grounds = [p for _, p in self.photos]
        self.others = [grounds[i] for i in rng.permutation(len(grounds))[:400]]
        small = np.stack([np.asarray(p.resize((12, 12)), np.float32).ravel() for _, p in self.photos])
        small -= small.mean(1, keepdims=True)
        self.small = small / (np.linalg.norm(small, axis=1, keepdims=True) + 1e-6)
        self.objects = []
        for path in sorted(args.objects.glob("*.webp")) if args.objects else []:
            group = path.stem.split("-1f3f")[0]
            if split_of(group) == args.split:
                self.objects.append((group, Image.open(path).convert("RGBA").resize((200, 200))))
        families = {}
        for line in open(args.families / "labels.ndjson"):
            row = json.loads(line)
            # The product: all its views fall on one side.
            product = row["family"].split("-")[0]
            if split_of(product) == args.split:
                picture = Image.open(args.families / row["file"]).convert("RGB")
                picture.thumbnail((420, 420))
                families.setdefault(row["family"], []).append((row["item"], picture, product))
        self.families, self.slight_share = families, args.slight_share
        self.several = [f for f, rows in families.items() if len({r[0] for r in rows}) > 1]
        self.family_photos = [(r[2], r[1]) for rows in families.values() for r in rows]
        self.shop_share = args.shop_share
        seen = [np.asarray(ImageOps.pad(p, (16, 16), color=(255, 255, 255)), np.float32).ravel() for _, p in self.family_photos]
        self.seen_small = np.stack(seen)
        self.motifs = [o for _, o in self.objects]
        self.edits = Edits(self.others)

    def any(self, rng):
        """(group, picture): most are photographs, some real shop pictures, some objects on a plain ground; some of each are
        strips."""
        group, picture = self.whole(rng)
        if rng.random() < STRIP_SHARE:
            picture = picture.crop(strip_box(picture.size, rng))
        return group, picture

    def whole(self, rng):
        way = rng.random()
        if way < 0.55:
            return self.photos[int(rng.integers(len(self.photos)))]
        if way < 0.75:
            return self.family_photos[int(rng.integers(len(self.family_photos)))]
        group, thing = self.objects[int(rng.integers(len(self.objects)))]
        share = rng.uniform(0.12, 0.95)
        return group, on_plain(thing, int(rng.integers(220, 420)), share, ground_colour(rng), rng.uniform(0.2, 0.8, 2), rng)

    def alike(self, rng):
        """A photograph and one of the most alike others, each with its group; None where there is none."""
        i = int(rng.integers(len(self.photos)))
        likeness = self.small @ self.small[i]
        near = [j for j in np.argsort(-likeness)[1:40] if likeness[j] < 0.93]
        if not near:
            return None
        return self.photos[i], self.photos[near[int(rng.integers(min(len(near), 12)))]]

    def shop_pair(self, rng):
        """Goods that look alike for want of anything on them: pictures of other products of shops, and photographs of one tone. A
        quarter are the same picture."""
        is_same = rng.random() < 0.25
        if rng.random() < 0.75:
            i = int(rng.integers(len(self.family_photos)))
            group, one = self.family_photos[i]
            far = np.abs(self.seen_small - self.seen_small[i]).mean(1)
            near = [j for j in np.argsort(far) if self.family_photos[j][0] != group][:12]
            note, other = "shop", self.family_photos[near[min(int(rng.exponential(3)), len(near) - 1)]][1]
            if rng.random() < 0.35:
                other = toned_like(other, one)
        else:
            two = self.alike(rng)
            if not two:
                return None
            (group, one), (_, other) = two
            note, other = "toned", toned_like(other, one)
        if is_same:
            return "same", "-", group, one, one
        if rng.random() < 0.2:
            other = ImageOps.mirror(other)
        return "goods", note, group, *self.either(one, other, rng)

    def pair(self, rng):
        """(kind, note, group, stored, query) before the edits; None now and then."""
        if self.shop_share > 0 and rng.random() < self.shop_share:
            return self.shop_pair(rng)
        way = rng.random()
        if way < 0.40:
            group, picture = self.any(rng)
            if rng.random() < 0.18:
                two = two_prints(picture, rng, self.others, self.motifs)
                picture = two[0] if two else picture
            elif rng.random() < 0.12:
                two = layout(rng, rng.choice([*LAYOUTS, "dish"]))
                picture = two[0] if two else picture
            return "same", "-", group, picture, picture
        if way < 0.62:
            slight = self.slight_share > 0 and rng.random() < self.slight_share
            for _ in range(8):  # many pictures have no part that can be told from the ground
                group, picture = self.any(rng)
                if slight and not group.startswith("grocery"):  # heaps, whose parts are no goods of one colour
                    other = recolours.slightly_other_colour(picture, rng)
                    if other:
                        return "colour", "slight", group, *self.either(picture, other[0], rng)
                if slight:
                    continue
                other = recolours.other_colour(picture, rng)
                if other:
                    return "colour", f"{other[1]:.0f}", group, *self.either(picture, other[0], rng)
            return None
        if way < 0.72:
            family = self.families[self.several[int(rng.integers(len(self.several)))]]
            a, b = (family[int(i)] for i in rng.choice(len(family), 2, replace=False))
            return ("colour", "family", a[2], a[1], b[1]) if a[0] != b[0] else None
        if way < 0.81:
            group, picture = self.any(rng)
            two = two_prints(picture, rng, self.others, self.motifs)
            return two and ("print", "print", group, *two)
        if way < 0.845:
            group, picture = self.any(rng)
            two = other_label(picture, rng)
            return two and ("print", "label", group, *two)
        if way < 0.89:
            kind = rng.choice([*LAYOUTS, "dish"])
            two = layout(rng, kind)
            note = "dish" if kind == "dish" else "layout"
            return two and ("print", note, f"layout-{rng.integers(1 << 40)}", *two)
        if way < 0.94:
            two = self.alike(rng)
            if not two:
                return None
            (group, one), (_, other) = two
            pair = [one, other]
            if rng.random() < STRIP_SHARE:
                seed = int(rng.integers(1 << 30))
                pair = [p.crop(strip_box(p.size, np.random.default_rng(seed))) for p in pair]
            return "goods", "alike", group, *pair
        if way < 0.97:
            group, picture = self.any(rng)
            return "goods", "swap", group, *self.either(picture, shop_edits.swap(picture, rng, self.others), rng)
        # Other goods, as small, in the same place of the same ground.
        (group, one), (_, two) = (self.objects[int(i)] for i in rng.choice(len(self.objects), 2, replace=False))
        side, share, ground, place = int(rng.integers(220, 560)), rng.uniform(0.08, 0.6), ground_colour(rng), rng.uniform(0.3, 0.7, 2)
        return "goods", "ground", group, *(on_plain(p, side, share, ground, place, rng) for p in (one, two))

    @staticmethod
    def either(a, b, rng):
        return (a, b) if rng.random() < 0.5 else (b, a)


# Where people look for a change: at this long side, this step of a channel, in so many pixels.
LOOKED_AT_PX, LEAST_SEEN_STEP, LEAST_SEEN_PX = 128, 36, 8
# A slight change must be seen in this share of the goods, at this step.
SLIGHT_STEP, SLIGHT_PART = 12, 0.03


def is_seen_still(plain, changed, step=LEAST_SEEN_STEP, share=recolours.LEAST_PART):
    """Whether people see what was changed after both pictures were edited alike: it may be cut off, covered or faded."""
    small = []
    for encoded in (plain, changed):
        picture = Image.open(io.BytesIO(encoded)).convert("RGB")
        picture.thumbnail((LOOKED_AT_PX, LOOKED_AT_PX), Image.Resampling.BOX)
        small.append(picture)
    if small[0].size != small[1].size:
        return True
    left, top, right, bottom = content_box(small[0])
    a, b = (np.asarray(picture, np.float32) for picture in small)
    differs = (np.abs(a - b).max(-1) >= step).sum()
    return differs >= max(LEAST_SEEN_PX, share * (right - left) * (bottom - top))


def edited_pair(source, args, rng):
    """What source.pair makes, encoded and edited: (kind, note, group, stored, query, names of edits); None where that fails, or
    where the change cannot be seen any more."""
    made = source.pair(rng)
    if made is None:
        return None
    kind, note, group, stored, query = made
    if kind not in args.kinds or note in args.without:
        return kind, note, group, b"", b"", []
    # What is stored was uploaded by somebody, too.
    first = jpeg_bytes(stored, int(rng.integers(80, 97)))
    names = source.edits.chain(rng)
    if kind == "print" and note != "print":  # small words must be there still
        names = [name for name in names if name not in ("thumbnail", *PLACE_EDITS)]
    if rng.random() < UNEDITED_SHARE[kind]:
        names = []
    if note == "slight" and rng.random() < 0.75:  # what an edit of all colours does can hide it
        names = [name for name in names if name not in COLOUR_EDITS]
    again = copy.deepcopy(rng)
    second = source.edits.apply(query, names, rng)
    is_made = kind in ("colour", "print") and note != "family"
    bounds = (SLIGHT_STEP, SLIGHT_PART) if note == "slight" else (LEAST_SEEN_STEP, recolours.LEAST_PART)
    if is_made and not is_seen_still(source.edits.apply(stored, names, again), second, *bounds):
        return None
    return kind, note, group, first, second, names


def write_pairs(source, args, seed, count, out, labels):
    for number in range(count):
        made, tries = None, 0
        while made is None:
            made, tries = edited_pair(source, args, np.random.default_rng([seed, number, tries])), tries + 1
        kind, note, group, first, second, names = made
        if kind not in args.kinds or note in args.without:
            continue
        if args.peek:
            args.peek.mkdir(parents=True, exist_ok=True)
            pair = [Image.open(io.BytesIO(b)).convert("RGB") for b in (first, second)]
            sheet = Image.new("RGB", (sum(p.width for p in pair) + 8, max(p.height for p in pair)))
            sheet.paste(pair[0], (0, 0))
            sheet.paste(pair[1], (pair[0].width + 8, 0))
            sheet.save(args.peek / f"{number:03}-{kind}-{note}-{'+'.join(names) or 'none'}.jpg")
            continue
        cosine = np.random.default_rng([seed, number]).uniform(0.55, 0.95)
        what = {"kind": kind, "note": note, "group": group}
        head = {"stored": len(first), "query": len(second), "cosine": round(float(cosine), 3), **what}
        out.write((json.dumps(head) + "\n").encode() + first + second)
        row = {**what, "edit": "+".join(names) or "none"}
        labels.write(json.dumps(row) + "\n")


def write_chunk(source, args, seed):
    """CHUNK pairs of one seed, aligned, in three files; those that are there are left."""
    stem = args.folder / f"{args.split}{seed}"
    if stem.with_suffix(".done").exists():
        return
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    with open(stem.with_suffix(".bin"), "wb") as to, open(stem.with_suffix(".ndjson"), "w") as labels:
        aligner = subprocess.Popen([args.aligner], stdin=subprocess.PIPE, stdout=to, stderr=subprocess.PIPE, env=environment)
        write_pairs(source, args, seed, min(args.count, CHUNK), aligner.stdin, labels)
        told = aligner.communicate()[1].decode()
    if aligner.returncode:
        sys.exit(f"{args.aligner} failed: {told[-500:]}")
    (args.folder / "names").write_text(told.splitlines()[0].split(": ")[1])
    stem.with_suffix(".done").touch()


def write_chunks(source, args, seeds):
    for seed in seeds:
        write_chunk(source, args, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tars", nargs="+", required=True, metavar="TAR")
    parser.add_argument("--families", type=Path, required=True, metavar="DIR")
    parser.add_argument("--objects", type=Path, metavar="DIR")
    parser.add_argument("--split", choices=tuple(SPLITS), default="fit")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--labels", type=Path, default="/dev/null", metavar="FILE")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="leave all others out")
    parser.add_argument("--without", nargs="+", choices=SMALL_WORDS, default=(), help="leave small words out")
    parser.add_argument("--slight-share", type=float, default=0.0, help="of the made colours, those that differ by little (%(default)s)")
    parser.add_argument("--shop-share", type=float, default=0.0, help="goods that look alike for want of anything on them (%(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="align them, too, and write chunks of 1,000 here")
    parser.add_argument("--aligner", default="pairs", help="examples/pairs.rs, built; for --folder (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, for --folder (%(default)s)")
    parser.add_argument("--fonts", type=Path, default="/usr/share/fonts", metavar="DIR")
    parser.add_argument("--peek", type=Path, metavar="DIR", help="write pictures side by side here instead")
    args = parser.parse_args()
    FONTS.extend(sorted(map(str, args.fonts.rglob("*.ttf"))))
    source = Source(args)
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        first = args.seed * 10_000
        seeds = [first + i for i in range(max(1, args.count // CHUNK))]
        fork = multiprocessing.get_context("fork")  # the pictures are in memory once
        workers = [fork.Process(target=write_chunks, args=(source, args, seeds[i :: args.workers]))
                   for i in range(args.workers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if any(worker.exitcode for worker in workers):
            sys.exit("a worker failed")
        return
    with open(args.labels, "w") as labels:
        write_pairs(source, args, args.seed, args.count, sys.stdout.buffer, labels)


if __name__ == "__main__":
    main()
