"""Makes the sound pictures in this folder and prints what Pillow reads from them.

Run here with Pillow installed: python3 make.py. The numbers it prints are the goldens in tests/it/photo.rs.
All show one scene (48 x 32, coloured quarters and a gradient) unless the name says otherwise.
"""

import io
import struct
import zlib

from PIL import Image

WIDTH, HEIGHT = 48, 32


def scene():
    """Quarters in red, green, blue and a gradient: no two corners alike, wider than high."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            left, top = x < WIDTH // 2, y < HEIGHT // 2
            if left and top:
                pixel = (200, 30, 40)
            elif top:
                pixel = (20, 180, 60)
            elif left:
                pixel = (30, 50, 210)
            else:
                pixel = (x * 5, y * 7, 128)
            image.putpixel((x, y), pixel)
    return image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, extra=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    raw = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw, 9))
        + chunk(b"IEND", b"")
    )


def interlaced(image):
    """Adam7 by hand: Pillow reads it but does not write it."""
    rows = []
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, HEIGHT, dy):
            rows.append(b"".join(bytes(image.getpixel((x, y))) for x in range(x0, WIDTH, dx)))
    return png(WIDTH, HEIGHT, 8, 2, rows, interlace=1)


def adobe(jpeg, transform):
    """The JPEG with the colour transform in its Adobe segment replaced."""
    at = jpeg.index(b"Adobe")
    return jpeg[: at + 11] + bytes([transform]) + jpeg[at + 12 :]


def save(name, image, **options):
    image.save(name, **options)


def oriented(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return (image.transpose(back) if back is not None else image), exif


def main():
    image = scene()
    save("baseline.jpg", image, quality=90)
    save("baseline_444.jpg", image, quality=90, subsampling=0)
    save("progressive.jpg", image, quality=90, progressive=True)
    save("grey.jpg", image.convert("L"), quality=90)
    save("restarts.jpg", image, quality=90, restart_marker_blocks=2)

    # Pillow writes CMYK the Adobe way, inverted, without a colour transform.
    buffer = io.BytesIO()
    cmyk = Image.merge("CMYK", [*(channel.point(lambda v: 255 - v) for channel in image.split()), Image.new("L", image.size, 40)])
    cmyk.save(buffer, "JPEG", quality=92, subsampling=0)
    open("cmyk_adobe.jpg", "wb").write(buffer.getvalue())
    # YCCK: the same four planes, with C, M, Y turned into YCbCr and transform 2 in the Adobe segment. What is
    # stored is the YCbCr of the complement; Pillow inverts on writing, so it is given the YCbCr of the scene.
    y, cb, cr = image.convert("YCbCr").split()
    buffer = io.BytesIO()
    Image.merge("CMYK", [y, cb, cr, Image.new("L", image.size, 40)]).save(buffer, "JPEG", quality=92, subsampling=0)
    open("ycck_adobe.jpg", "wb").write(adobe(buffer.getvalue(), 2))

    for orientation in range(1, 9):
        turned, exif = oriented(image, orientation)
        turned.save(f"exif{orientation}.jpg", quality=90, subsampling=0, exif=exif)
    turned, exif = oriented(image, 6)
    turned.save("exif6.png", exif=exif)
    turned.save("exif6.webp", lossless=True, exif=exif)

    save("rgb.png", image, optimize=True)
    save("rgb.bmp", image)
    save("palette.bmp", image.quantize(16))
    save("palette.png", image.quantize(16), optimize=True)
    save("grey.png", image.convert("L"), optimize=True)
    save("bilevel.png", image.convert("1"))
    save("bilevel.bmp", image.convert("1"))
    open("interlaced.png", "wb").write(interlaced(image))
    rows16 = [
        b"".join(struct.pack(">HHH", *(v * 257 for v in image.getpixel((x, y)))) for x in range(WIDTH)) for y in range(HEIGHT)
    ]
    open("rgb16.png", "wb").write(png(WIDTH, HEIGHT, 16, 2, rows16))
    grey16 = [b"".join(struct.pack(">H", (x * 1365 + y) & 0xFFFF) for x in range(WIDTH)) for y in range(HEIGHT)]
    open("grey16.png", "wb").write(png(WIDTH, HEIGHT, 16, 0, grey16))
    # Red seen through a ramp of alpha, and a palette of which entry 0 is clear and entry 1 half clear.
    rgba = [b"".join(bytes((255, 0, 0, x * 5)) for x in range(WIDTH)) for y in range(HEIGHT)]
    open("alpha.png", "wb").write(png(WIDTH, HEIGHT, 8, 6, rgba))
    entries = chunk(b"PLTE", bytes((255, 0, 0, 0, 0, 255, 0, 128, 0))) + chunk(b"tRNS", bytes((0, 128)))
    indexed = [bytes(x * 3 // WIDTH for x in range(WIDTH)) for y in range(HEIGHT)]
    open("palette_trns.png", "wb").write(png(WIDTH, HEIGHT, 8, 3, indexed, extra=entries))

    save("lossy.webp", image, quality=90)
    save("lossless.webp", image, lossless=True)
    with_alpha = image.copy()
    with_alpha.putalpha(Image.new("L", image.size, 128))
    save("alpha.webp", with_alpha, lossless=True)
    save("alpha_lossy.webp", with_alpha, quality=90)
    save("still.gif", image.quantize(64))
    second = Image.new("RGB", image.size, (255, 255, 0))
    save("animated.gif", image.quantize(64), save_all=True, append_images=[second.quantize(4)], duration=100)
    save("animated.webp", image, save_all=True, append_images=[second], duration=100, lossless=True)
    save("animated.png", image, save_all=True, append_images=[second], duration=100)

    jpeg = open("baseline.jpg", "rb").read()
    open("trailing_garbage.jpg", "wb").write(jpeg + b"\0" * 100 + b"<html>" + bytes(range(256)))
    open("junk_between_headers.jpg", "wb").write(jpeg[:20] + b"junk" * 4 + jpeg[20:])
    # A small iCCP and text that unpack to 32 MB each, within the file's own 64 kB: metadata, so the picture stands.
    bomb = zlib.compress(b"\0" * (32 << 20), 9)
    rows = [b"".join(bytes(image.getpixel((x, y))) for x in range(WIDTH)) for y in range(HEIGHT)]
    extra = chunk(b"zTXt", b"Comment\0\0" + bomb)
    open("ztxt_bomb.png", "wb").write(png(WIDTH, HEIGHT, 8, 2, rows, extra=extra))
    extra = chunk(b"iCCP", b"profile\0\0" + bomb)
    open("iccp_bomb.png", "wb").write(png(WIDTH, HEIGHT, 8, 2, rows, extra=extra))


def on_white(image):
    if image.mode.startswith("I;16"):
        return Image.merge("RGB", [image.point(lambda v: v / 257).convert("L")] * 3)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def report():
    import pathlib
    from PIL import ImageOps, ImageStat

    for path in sorted(pathlib.Path(".").iterdir()):
        if path.suffix == ".py":
            continue
        try:
            image = Image.open(path)
            image.seek(0)
            image = on_white(ImageOps.exif_transpose(image))
        except Exception as error:  # A bomb that Pillow refuses is still in the table, without numbers.
            print(f"// {path.name}: {error}")
            continue
        w, h = image.size
        mean = ImageStat.Stat(image).mean
        points = [image.getpixel(p) for p in ((4, 4), (w - 5, 4), (4, h - 5), (w - 5, h - 5))]
        mean = ", ".join(f"{m:.1f}" for m in mean)
        points = ", ".join("[" + ", ".join(map(str, p)) + "]" for p in points)
        print(f'("{path.name}", [{mean}], [{points}]),  // {w}x{h} {path.stat().st_size}')


if __name__ == "__main__":
    main()
    report()
