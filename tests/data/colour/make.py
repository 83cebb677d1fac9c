"""Makes the pictures with colour profiles in this folder, and what they look like in sRGB according to lcms2.

Run here with Pillow (with littlecms2) and numpy installed: python3 make.py. For each picture NAME.EXT there is
NAME.expected.png, without a profile. The profiles are written here from the published numbers of their colour spaces.
All pictures are 48 x 32 pixels of gradients.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 48, 32
D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SPACES = {
    "p3": ([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], (0.3127, 0.3290)),
    "adobe": ([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], (0.3127, 0.3290)),
    "prophoto": ([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], (0.3457, 0.3585)),
    "srgb": ([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], (0.3127, 0.3290)),
}


def colorants(space):
    primaries, white = SPACES[space]
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    scaled = xyz * np.linalg.solve(xyz, white)
    gain = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.inv(BRADFORD) @ gain @ BRADFORD @ scaled


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def xyz_tag(values):
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def gamma_tag(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def table_tag(values):
    data = b"".join(struct.pack(">H", round(v * 65535)) for v in values)
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + data + b"\0" * (len(data) % 4)


def parametric_tag(*parameters):
    """Kind 3: (a x + b)^g from d on, c x below."""
    return b"para\0\0\0\0\0\3\0\0" + b"".join(map(fixed, parameters))


SRGB_CURVE = parametric_tag(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PROPHOTO_CURVE = parametric_tag(1.8, 1, 0, 1 / 16, 0.03125)


def text_tag(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * 79


def profile(version, kind, space, pcs, tags):
    tags = [(b"desc", text_tag(b"test")), (b"wtpt", xyz_tag(D50)), *tags]
    at, table, data = 132 + 12 * len(tags), b"", b""
    for name, tag in tags:
        tag += b"\0" * (-len(tag) % 4)
        table += name + struct.pack(">II", at + len(data), len(tag))
        data += tag
    header = struct.pack(">I4sI4s4s4s", at + len(data), b"\0" * 4, version << 24, kind, space, pcs)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 24 + struct.pack(">I", 0)
    header += b"".join(map(fixed, D50)) + b"\0" * 48
    return header + struct.pack(">I", len(tags)) + table + data


def rgb_profile(space, curve, version=2):
    red, green, blue = colorants(space).T
    tags = [(b"rXYZ", xyz_tag(red)), (b"gXYZ", xyz_tag(green)), (b"bXYZ", xyz_tag(blue))]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return profile(version, b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(curve):
    return profile(2, b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", curve)])


def lab16(xyz):
    """Lab as 16-bit numbers of a version 2 profile, from XYZ relative to D50."""
    ratio = np.maximum(xyz / np.array(D50), 0)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lab = np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
    scaled = np.stack([lab[..., 0] / 100 * 65280, (lab[..., 1] + 128) * 256, (lab[..., 2] + 128) * 256], -1)
    return np.clip(np.rint(scaled), 0, 65535).astype(">u2")


def table_profile(kind, space, channels, side, to_xyz):
    """A profile with one table (mft2) from `side` steps of each channel to Lab."""
    axes = np.meshgrid(*[np.linspace(0, 1, side)] * channels, indexing="ij")
    cells = lab16(to_xyz(np.stack(axes, -1).reshape(-1, channels)))
    lut = b"mft2\0\0\0\0" + bytes((channels, 3, side, 0))
    lut += b"".join(fixed(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)) + struct.pack(">HH", 2, 2)
    lut += struct.pack(">HH", 0, 65535) * channels + cells.tobytes() + struct.pack(">HH", 0, 65535) * 3
    return profile(2, kind, space, b"Lab ", [(b"A2B0", lut)])


def inks_to_xyz(inks):
    """A press of ordinary inks: each takes its colour from the paper, black nearly all."""
    paper = np.array(D50)
    light = np.ones((len(inks), 3))
    linear = colorants("srgb")
    for ink, left in zip(inks.T, ([0.02, 0.35, 0.75], [0.6, 0.02, 0.2], [0.9, 0.75, 0.02], [0.02, 0.02, 0.02])):
        light = light * (1 - ink[:, None] * (1 - np.array(left)))
    return (light @ linear.T) * paper / linear.sum(1)


PROFILES = {
    "p3": rgb_profile("p3", SRGB_CURVE, 4),
    "adobe": rgb_profile("adobe", gamma_tag(563 / 256)),
    "prophoto": rgb_profile("prophoto", PROPHOTO_CURVE, 4),
    "linear": rgb_profile("p3", gamma_tag(1)),
    "srgb": rgb_profile("srgb", SRGB_CURVE, 4),
    "grey": grey_profile(gamma_tag(1.8)),
    "dots": grey_profile(table_tag(np.linspace(0, 1, 33) ** 1.6 * 0.97 + np.linspace(0, 1, 33) * 0.03)),
    "tables": table_profile(b"scnr", b"RGB ", 3, 9, lambda rgb: rgb**1.9 @ colorants("adobe").T),
    "press": table_profile(b"prtr", b"CMYK", 4, 5, inks_to_xyz),
}


def scene():
    """Gradients of all three colours, through greys and full colours."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [127.5 + 120 * np.cos(x / 48 * 6.3 + y / 32 * turn + shift) for turn, shift in ((2, 0), (3, 2), (4, 4))]
    picture = np.rint(np.stack(waves, -1)).astype(np.uint8)
    picture[:4] = (np.arange(WIDTH) * 5)[None, :, None]
    return picture


def expected(image, name):
    """The picture in sRGB: by lcms2."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[name]))
    target = ImageCms.ImageCmsProfile(io.BytesIO(PROFILES["srgb"]))
    mode = "L" if image.mode == "L" else "RGB"
    if mode == "L":
        target = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile(SRGB_CURVE)))
    flags = ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.HIGHRESPRECALC
    return ImageCms.profileToProfile(image, source, target, renderingIntent=0, outputMode=mode, flags=flags)


def on_white(rgb, alpha):
    rgb, alpha = np.asarray(rgb).astype(int), np.asarray(alpha).astype(int)[..., None]
    return Image.fromarray(((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def keep(stem, image):
    image.convert("RGB").save(f"{stem}.expected.png", optimize=True, icc_profile=None)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(path, samples, name):
    """16-bit RGB, which Pillow does not write."""
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    icc = b"test\0\0" + zlib.compress(PROFILES[name])
    body = chunk(b"IHDR", header) + chunk(b"iCCP", icc) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + body)


def main():
    for name, icc in PROFILES.items():
        open(f"{name}.icc", "wb").write(icc)
    rgb = Image.fromarray(scene())
    grey = rgb.getchannel(0)
    ramp = Image.fromarray(np.tile((np.arange(WIDTH) * 5).astype(np.uint8), (HEIGHT, 1)))
    rgb.save("plain.png", optimize=True)
    for name in ("p3", "adobe", "prophoto", "tables"):
        rgb.save(f"{name}.png", icc_profile=PROFILES[name], optimize=True)
        keep(name, expected(rgb, name))
    rgb.save("p3_webp.webp", lossless=True, icc_profile=PROFILES["p3"])
    keep("p3_webp", expected(rgb, "p3"))
    rgb.save("adobe_jpeg.jpg", quality=95, subsampling=0, icc_profile=PROFILES["adobe"])
    keep("adobe_jpeg", expected(Image.open("adobe_jpeg.jpg"), "adobe"))

    turned = rgb.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save("p3_turned.jpg", quality=95, subsampling=0, icc_profile=PROFILES["p3"], exif=exif)
    upright = Image.open("p3_turned.jpg").transpose(Image.Transpose.ROTATE_270)
    keep("p3_turned", expected(upright, "p3"))

    few = rgb.quantize(64)
    few.save("p3_palette.png", icc_profile=PROFILES["p3"], optimize=True)
    keep("p3_palette", expected(few.convert("RGB"), "p3"))
    clear = rgb.copy()
    clear.putalpha(ramp)
    clear.save("prophoto_alpha.png", icc_profile=PROFILES["prophoto"], optimize=True)
    keep("prophoto_alpha", on_white(expected(rgb, "prophoto"), ramp))

    grey.save("grey.png", icc_profile=PROFILES["grey"], optimize=True)
    keep("grey", expected(grey, "grey"))
    grey.save("dots_jpeg.jpg", quality=95, icc_profile=PROFILES["dots"])
    keep("dots_jpeg", expected(Image.open("dots_jpeg.jpg"), "dots"))
    clear = Image.merge("LA", (grey, ramp))
    clear.save("grey_alpha.png", icc_profile=PROFILES["grey"], optimize=True)
    keep("grey_alpha", on_white(expected(grey, "grey").convert("RGB"), ramp))

    # Linear light in 16 bits: rounded to 8 bits first, its shadows would be gone. The reference is computed in numpy.
    linear = scene().astype(float) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    samples = np.rint(linear * 65535).astype(np.uint16)
    png16("linear16.png", samples, "linear")
    light = (samples / 65535) @ np.linalg.inv(colorants("srgb")).dot(colorants("p3")).T
    light = np.clip(light, 0, 1)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    keep("linear16", Image.fromarray(np.rint(encoded * 255).astype(np.uint8)))

    # Pillow writes inks upside down, as Adobe does, and turns them round again when it reads them.
    inks = Image.merge("CMYK", [*(Image.eval(band, lambda v: 255 - v) for band in rgb.split()), Image.eval(ramp, lambda v: v // 4)])
    inks.save("press_cmyk.jpg", quality=95, subsampling=0, icc_profile=PROFILES["press"])
    keep("press_cmyk", expected(Image.open("press_cmyk.jpg"), "press"))
    # YCCK: the first three planes are luma and chroma of the inks. Pillow would turn them round on writing.
    y, cb, cr = Image.merge("RGB", inks.split()[:3]).convert("YCbCr").split()
    upside = [Image.eval(band, lambda v: 255 - v) for band in (y, cb, cr)]
    buffer = io.BytesIO()
    Image.merge("CMYK", [*upside, inks.split()[3]]).save(buffer, "JPEG", quality=95, subsampling=0, icc_profile=PROFILES["press"])
    jpeg = bytearray(buffer.getvalue())
    jpeg[jpeg.index(b"Adobe") + 11] = 2
    open("press_ycck.jpg", "wb").write(jpeg)
    keep("press_ycck", expected(Image.open("press_ycck.jpg"), "press"))

    # What a cICP chunk says (Display P3) outranks a profile.
    buffer = io.BytesIO()
    rgb.save(buffer, "PNG", icc_profile=PROFILES["adobe"], optimize=True)
    png = buffer.getvalue()
    open("p3_cicp.png", "wb").write(png[:33] + chunk(b"cICP", bytes((12, 13, 0, 1))) + png[33:])
    keep("p3_cicp", expected(rgb, "p3"))


main()
