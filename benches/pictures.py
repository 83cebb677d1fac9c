"""Pictures for the Python benches: choosing distinct ones, and copies and other colours of them, made quickly with Pillow."""

import hashlib
import io
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
# Bits of 256 by which two pictures differ at least to count as distinct: shots of a burst differ by fewer.
DISTINCT_BITS = 50


def found(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def opened(path):
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def signature(path):
    """256 bits: where a picture of 17 x 16 pixels becomes brighter from left to right."""
    with Image.open(path) as picture:
        picture.draft("L", (68, 64))
        grey = list(picture.convert("L").resize((17, 16), Image.Resampling.BOX).tobytes())
    bits = 0
    for y in range(16):
        for x in range(16):
            bits = bits << 1 | (grey[17 * y + x + 1] > grey[17 * y + x])
    return bits


class Distinct:
    """Lets pictures through that are none that it has let through: neither by their bytes nor nearly by what they show."""

    def __init__(self):
        self.digests, self.signatures, self.passed_over = set(), [], 0

    def is_new(self, path):
        digest, bits = hashlib.sha256(path.read_bytes()).digest(), signature(path)
        if digest in self.digests or any((bits ^ other).bit_count() < DISTINCT_BITS for other in self.signatures):
            self.passed_over += 1
            return False
        self.digests.add(digest)
        self.signatures.append(bits)
        return True


def _jpeg(picture, quality):
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue(), ".jpg"


def _webp(picture, dice):
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=dice.randrange(60, 90), method=1)
    return out.getvalue(), ".webp"


def _resized(picture, dice):
    part = dice.uniform(0.4, 0.9)
    return picture.resize([max(1, round(side * part)) for side in picture.size])


def _cropped(picture, dice, area=0.7):
    width, height = (round(side * area**0.5) for side in picture.size)
    left, top = dice.randint(0, picture.width - width), dice.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def _any_colour(dice):
    return tuple(dice.randrange(256) for _ in range(3))


def _banner(picture, dice):
    """A strip with words over 14 to 20 % of the height, above or below."""
    out = picture.copy()
    brush = ImageDraw.Draw(out)
    tall = round(picture.height * dice.uniform(0.14, 0.2))
    top = dice.choice([0, picture.height - tall])
    brush.rectangle((0, top, picture.width, top + tall), fill=_any_colour(dice))
    words = "".join(dice.choices("ABCDEFGHKLMNPRSTUVXYZ 0123456789", k=14))
    brush.text((picture.width // 20, top + tall // 5), words, fill="white", font_size=max(8, round(tall * 0.6)))
    return out


def _padded(picture, dice):
    """A rim of 8 to 25 % of the long side, mostly white."""
    across, down = (round(max(picture.size) * dice.uniform(0.08, 0.25)) for _ in range(2))
    ground = (255, 255, 255) if dice.random() < 0.6 else _any_colour(dice)
    return ImageOps.expand(picture, (across, down, across, down), ground)


def _toned(picture, dice):
    """Brightness, contrast and saturation by up to 20 or 30 %, a cast, and a slight blur."""
    grey = ImageOps.grayscale(picture).convert("RGB")
    out = Image.blend(grey, picture, dice.uniform(0.7, 1.3))
    bright, contrast = dice.uniform(0.8, 1.2), dice.uniform(0.7, 1.3)
    tables = []
    for _ in range(3):
        cast = dice.uniform(0.92, 1.08)
        tables += [min(255, max(0, round(((value - 128) * contrast + 128) * bright * cast))) for value in range(256)]
    return out.point(tables).filter(ImageFilter.GaussianBlur(max(picture.size) * dice.uniform(0.003, 0.006)))


def _hue_turned(picture, degrees):
    hue, *others = picture.convert("HSV").split()
    step = round(degrees * 256 / 360)
    return Image.merge("HSV", [hue.point([(value + step) % 256 for value in range(256)]), *others]).convert("RGB")


# Of a JPEG as good as shops save: what is to be judged is the edit.
COPIES = {
    "bytes": None,
    "jpeg": lambda picture, dice: _jpeg(picture, dice.randrange(40, 86)),
    "webp": _webp,
    "resize": lambda picture, dice: _jpeg(_resized(picture, dice), 88),
    "crop70": lambda picture, dice: _jpeg(_cropped(picture, dice), 88),
    "banner": lambda picture, dice: _jpeg(_banner(picture, dice), 88),
    "pad": lambda picture, dice: _jpeg(_padded(picture, dice), 88),
    "mirror": lambda picture, dice: _jpeg(ImageOps.mirror(picture), 88),
    "tone": lambda picture, dice: _jpeg(_toned(picture, dice), 88),
}
# Other colours: degrees by which the hue is turned. They are not the same picture.
COLOURS = {"hue60": 60, "hue180": 180}
# What a colour changes: the share of pixels, and by how much of 255 the channel that changes most.
COLOUR_SHARE, COLOUR_STEP = 0.15, 48


def copy(path, kind, dice):
    """Bytes and ending of a copy, or of another colour; `None` where another colour would hardly show."""
    if kind == "bytes":
        return path.read_bytes(), path.suffix
    picture = opened(path)
    if kind in COPIES:
        return COPIES[kind](picture, dice)
    turned = _hue_turned(picture, COLOURS[kind])
    red, green, blue = ImageChops.difference(picture, turned).split()
    counts = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    if sum(counts[COLOUR_STEP:]) < COLOUR_SHARE * picture.width * picture.height:
        return None
    return _jpeg(turned, 88)


def contact_sheet(pairs, path, side=160, most=60):
    """Pairs of pictures side by side, each with a caption, to be looked at."""
    pairs = pairs[:most]
    across = min(4, len(pairs)) or 1
    sheet = Image.new("RGB", (across * (2 * side + 20), -(-len(pairs) // across) * (side + 34) or 1), "white")
    brush = ImageDraw.Draw(sheet)
    for number, (one, other, caption) in enumerate(pairs):
        left, top = number % across * (2 * side + 20), number // across * (side + 34)
        for place, picture in enumerate((one, other)):
            sheet.paste(ImageOps.pad(opened(picture), (side, side), color="lightgrey"), (left + place * (side + 4), top))
        brush.text((left, top + side + 4), caption[:54], fill="black")
    sheet.save(path)


def dice_for(*parts):
    """The same for the same parts, in every process."""
    return random.Random(" ".join(str(part) for part in parts))
