"""Write the reference embeddings that the engine's tests compare against.

The embeddings come from a forward pass of its own in NumPy, in double precision: the original
weights, rounded like every activation as `fitted.npz` says, GeM and the projection. The exported
ONNX file takes no part in it; it is run only to print how closely it agrees. (Sums that fall on
the edge between two bytes are rounded either way, so they do not agree to the last digit.)

Examples
  Compute golden.json again from the pictures in tests/data/embedding:
    python models/reference.py
  Draw those pictures anew first (they are drawn from a seed; no photo is used):
    python models/reference.py --draw
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import export
import pictures
import weights

HERE = Path(__file__).resolve().parent
FILES = (
    "square.jpg", "wide.jpg", "turned.jpg", "grey.png", "transparent.png", "lossy.webp", "deep.png",
)
LEAST_COSINE = 0.99


def convolve(x, kernel, stride, groups):
    """NCHW convolution with TensorFlow's SAME padding."""
    size, k = x.shape[2], kernel.shape[2]
    out = -(-size // stride)
    pad = max((out - 1) * stride + k - size, 0)
    side = ((pad // 2, pad - pad // 2),) * 2
    x = np.pad(x, ((0, 0), (0, 0), *side))
    total = 0.0
    for row in range(k):
        for column in range(k):
            part = x[:, :, row : row + out * stride : stride, column : column + out * stride : stride]
            part = part[:, :, :out, :out]
            tap = kernel[:, :, row, column]
            if groups == 1:
                total = total + np.einsum("nchw,oc->nohw", part, tap, optimize=True)
            else:
                total = total + part * tap[:, 0][None, :, None, None]
    return total


def rounded(x, ends):
    """`x` as the byte that stands for it says."""
    scale, zero = (float(v) for v in export.byte_scale(*ends))
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale


def forward(pixels, fitted):
    """Embedding [N, D] of pixels [N, 3, SIZE, SIZE]."""
    tensors, head, ranges = fitted.tensors(), fitted.head, fitted.ranges
    step = float(export.byte_scale(*ranges["pixels"])[0])
    x = rounded(pixels.astype(np.float64), ranges["pixels"])

    def layer(x, step, name, stride, groups, clip):
        """(rounded output, its step)."""
        kernel, bias = export.folded(tensors, name)
        steps = np.maximum(export.kernel_scale(kernel, groups), np.abs(bias) / np.float32(step * 2**30))
        kernel = np.rint(kernel / steps[:, None, None, None]) * steps[:, None, None, None]
        y = convolve(x, kernel.astype(np.float64), stride, groups) + bias[None, :, None, None]
        y = rounded(np.clip(y, 0, 6) if clip else y, ranges[name])
        return y, float(export.byte_scale(*ranges[name])[0])

    x, step = layer(x, step, "stem", 2, 1, True)
    for index, _, stride, expansion, cin, cout in weights.blocks():
        n, y, s = f"block{index}", x, step
        if expansion != 1:
            y, s = layer(y, s, f"{n}.expand", 1, 1, True)
        y, s = layer(y, s, f"{n}.depthwise", stride, cin * expansion, True)
        y, s = layer(y, s, f"{n}.project", 1, 1, False)
        if stride == 1 and cin == cout:
            y, s = rounded(x + y, ranges[f"{n}.add"]), float(export.byte_scale(*ranges[f"{n}.add"])[0])
        x, step = y, s
    x, _ = layer(x, step, "head", 1, 1, True)
    x = np.mean(np.maximum(x, 1e-6) ** 3, axis=(2, 3)) ** (1 / 3)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    x = (x - head["mean"].astype(np.float64)) @ head["matrix"].astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def scene(width, height, seed, grain=10.0):
    """A product-like picture: lit ground, textured shapes with shadows, some lettering."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    unit = min(width, height)
    ground = rng.uniform(150, 235, 3)
    light = 1.05 - 0.5 * np.hypot(x / width - rng.uniform(0.2, 0.8), y / height - rng.uniform(0, 0.4)) ** 2
    values = ground[None, None] * light[..., None]
    for _ in range(3):
        values += (
            6 * np.sin(x * rng.uniform(0.02, 0.2) + y * rng.uniform(0.02, 0.2) + rng.uniform(0, 6))[..., None]
            * rng.uniform(0.3, 1, 3)
        )
    picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    for number in range(6):
        cx, cy = rng.uniform(0.15, 0.85) * width, rng.uniform(0.2, 0.85) * height
        a, b = rng.uniform(0.1, 0.3, 2) * unit
        mask, shade = Image.new("L", picture.size), Image.new("L", picture.size)
        for layer, shift in ((shade, 0.05 * unit), (mask, 0)):
            draw = ImageDraw.Draw(layer)
            box = (cx - a + shift, cy - b + shift, cx + a + shift, cy + b + shift)
            if number % 3 == 0:
                draw.ellipse(box, fill=255)
            elif number % 3 == 1:
                draw.rounded_rectangle(box, radius=min(a, b) * 0.4, fill=255)
            else:
                corners = rng.uniform(-1, 1, (5, 2)) * (a, b) + (cx + shift, cy + shift)
                draw.polygon([tuple(c) for c in corners.tolist()], fill=255)
        shade = shade.filter(ImageFilter.GaussianBlur(0.03 * unit)).point(lambda v: v // 3)
        picture.paste((20, 20, 30), (0, 0), shade)
        colour = rng.uniform(20, 240, 3)
        weave = 1 + 0.25 * np.sin(x * rng.uniform(0.2, 0.9)) * np.sin(y * rng.uniform(0.2, 0.9))
        slope = 1.15 - 0.5 * (x - cx + a) / (2 * a)
        body = np.clip(colour * np.clip(weave * slope, 0.3, 1.6)[..., None], 0, 255).astype(np.uint8)
        picture.paste(Image.fromarray(body), (0, 0), mask)
    ImageDraw.Draw(picture).text((0.05 * width, 0.05 * height), "TK 30-27", fill=(30, 30, 40))
    noise = rng.normal(0, grain, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def png16(path, values):
    """Write uint16 [height, width, 3] as a 16-bit RGB PNG (Pillow cannot)."""
    height, width, _ = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    packed = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed, 9)) + chunk(b"IEND", b"")
    )


def draw(folder):
    folder.mkdir(parents=True, exist_ok=True)
    scene(288, 288, 1).save(folder / "square.jpg", quality=82)
    scene(320, 180, 2).save(folder / "wide.jpg", quality=85)
    turned = scene(200, 300, 3)  # upright; stored lying on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=85, exif=exif)
    scene(180, 150, 4, grain=5).convert("L").save(folder / "grey.png", optimize=True)
    rgba = scene(110, 120, 5, grain=0).convert("RGBA")
    y, x = np.mgrid[0:120, 0:110]
    alpha = np.clip(255 * (1.25 - np.hypot((x - 55) / 55, (y - 60) / 60)) / 0.5, 0, 255)
    rgba.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    rgba.save(folder / "transparent.png", optimize=True)
    scene(256, 192, 6).save(folder / "lossy.webp", quality=80, method=6)
    deep = np.asarray(scene(96, 72, 7, grain=0)).astype(np.uint16) * 257
    y, x = np.mgrid[0:72, 0:96]
    deep = np.clip(deep.astype(np.int64) + ((x * 2 + y) % 64)[..., None], 0, 65535)
    png16(folder / "deep.png", deep.astype(np.uint16))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=HERE / "efficientnet-lite0-gem", type=Path, metavar="DIR",
                        help="folder with manifest.json and fitted.npz (default: the committed model)")
    parser.add_argument("--pictures", default=HERE.parent / "tests/data/embedding", type=Path, metavar="DIR",
                        help="folder of the pictures and of golden.json (default: tests/data/embedding)")
    parser.add_argument("--draw", action="store_true", help="draw the pictures anew")
    args = parser.parse_args()
    if args.draw:
        draw(args.pictures)

    manifest = json.loads((args.model / "manifest.json").read_text())
    given = manifest["input"]
    fitted = export.Fitted.load(args.model / "fitted.npz")
    rows, pixels = [], []
    for name in FILES:
        with Image.open(args.pictures / name) as opened:
            picture = pictures.to_rgb(opened)
        rows.append({"file": name, "width_px": picture.width, "height_px": picture.height})
        resized = pictures.resize(picture, given["resize"], given["filter"])
        pixels.append(pictures.to_pixels(resized, given["mean"], given["std"]))
    embeddings = forward(np.stack(pixels), fitted)
    for row, embedding in zip(rows, embeddings):
        row["embedding"] = [round(float(v), 6) for v in embedding]
    golden = {"model_sha256": manifest["sha256"], "pictures": rows}
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    text = f'{{"model_sha256": {json.dumps(golden["model_sha256"])}, "pictures": [\n  {lines}\n]}}\n'
    (args.pictures / "golden.json").write_text(text)

    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before it is loaded: later switches come too late
    import onnxruntime

    data = (args.model / manifest["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise SystemExit("model.onnx does not have the SHA-256 of the manifest")
    run = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = export.embed(run, np.stack(pixels))
    cosines = (got * embeddings).sum(1)
    for row, cosine in zip(rows, cosines):
        size = (args.pictures / row["file"]).stat().st_size
        print(f"{row['file']}: {row['width_px']}x{row['height_px']}, {size} bytes, cosine to ONNX Runtime {cosine:.7f}")
    if cosines.min() < LEAST_COSINE:
        print(f"below {LEAST_COSINE}: the exported model is wrong", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
