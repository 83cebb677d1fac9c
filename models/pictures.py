"""Decode and prepare pictures exactly as the engine is told to by a manifest.

Turn by EXIF, composite transparency on white, resize with an antialiased filter, scale to
0..1, subtract the mean and divide by the standard deviation, channels first.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIZE = 256
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "catmull_rom": Image.Resampling.BICUBIC,  # Pillow's bicubic has a = -0.5
    "lanczos3": Image.Resampling.LANCZOS,
}
RESIZES = ("squash", "pad")
MEAN = (127 / 255,) * 3  # with this STD, every value of a byte is met exactly by a byte of the quantised input
STD = (0.5, 0.5, 0.5)


def to_rgb(picture: Image.Image) -> Image.Image:
    """Turn upright and flatten to 8-bit RGB on white."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        picture = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def resize(picture: Image.Image, how: str, filter_name: str, size: int = SIZE) -> Image.Image:
    """Resize to size x size: `squash` ignores the aspect ratio, `pad` keeps it on white."""
    resample = FILTERS[filter_name]
    if how == "squash":
        return picture.resize((size, size), resample)
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    canvas = Image.new("RGB", (size, size), (255, 255, 255))
    canvas.paste(
        picture.resize((width, height), resample), ((size - width) // 2, (size - height) // 2)
    )
    return canvas


def to_pixels(picture: Image.Image, mean=MEAN, std=STD) -> np.ndarray:
    """Return float32 [3, height, width]."""
    values = np.asarray(picture, np.float32) / np.float32(255)
    values = (values - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def from_tars(paths):
    """Yield (name, RGB picture) from tar files, ordered by name within each."""
    for path in paths:
        with tarfile.open(path) as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                if member.isfile():
                    data = archive.extractfile(member).read()
                    yield Path(member.name).name, to_rgb(Image.open(io.BytesIO(data)))
