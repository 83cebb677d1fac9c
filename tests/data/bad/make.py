"""Makes the bad files in this folder.

Run here with Pillow installed: python3 make.py. What each file must give is in tests/it/photo_bad.rs.
"""

import io
import pathlib
import struct
import sys
import zlib

from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "photo"))
from make import chunk, png, scene  # noqa: E402


def write(name, data):
    pathlib.Path(name).write_bytes(data)


def encoded(kind, **options):
    buffer = io.BytesIO()
    options.pop("image", scene()).save(buffer, kind, **options)
    return buffer.getvalue()


def replaced(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def segment(marker, payload):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff_chunk(kind, payload):
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) & 1)


def le24(value):
    return struct.pack("<I", value)[:3]


def bmp(width, height, bits=24, compression=0, pixels=b"", colors=0):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colors, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


def no_pictures():
    write("empty.jpg", b"")
    write("one_byte.jpg", b"\xff")
    write("zeros.jpg", bytes(4096))
    write("noise.jpg", bytes((i * 167 + 13) * (i + 7) % 251 + 3 for i in range(512)))
    write("text.jpg", b"This is not a picture.\n")
    write("chinese_text.jpg", "同款\n".encode())
    write("bm_text.bmp", b"BM is how a bitmap begins, and so does this sentence.\n")
    write("error_page.jpg", b"\n<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n")
    write("error.json.png", b'{"error":{"code":404,"message":"no such picture"}}')
    write("document.pdf.jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n")
    write("archive.zip.png", b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(20))
    write("jpeg.gz", b"\x1f\x8b\x08\0" + bytes(30))
    write("video.mp4.jpg", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(32))
    write("data_url.txt", b"data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ")
    write("drawing.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="1e9" height="1e9"/>\n')
    write("photo.avif", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(32))
    write("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(32))
    write("photo.tif", encoded("TIFF", image=Image.new("RGB", (4, 4))))
    write("photo.ico", b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x18\0" + bytes(32))
    write("photo.jxl", b"\xff\x0a" + bytes(32))
    write("photo.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(32))
    write("photo.psd", b"8BPS\0\x01" + bytes(32))


def jpegs():
    jpeg = encoded("JPEG", quality=90, subsampling=0)
    sof = jpeg.index(b"\xff\xc0")
    sos = jpeg.index(b"\xff\xda")
    scan = sos + 2 + 12
    write("start_only.jpg", jpeg[:2])
    write("cut_in_header.jpg", jpeg[: sof + 6])
    write("cut_before_pixels.jpg", jpeg[:scan])
    write("cut_in_half.jpg", jpeg[: (scan + len(jpeg)) // 2])
    write("cut_last_byte.jpg", jpeg[:-1])
    write("end_marker_missing.jpg", jpeg[:-2])
    write("tail_zero_filled.jpg", jpeg[: (scan + len(jpeg)) // 2] + bytes(len(jpeg) // 2))
    # The embedded thumbnail is whole and has an end-of-image marker of its own; the picture is not.
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded("JPEG", image=Image.new("RGB", (8, 8)))
    write("cut_with_thumbnail.jpg", jpeg[:2] + segment(0xE1, exif) + jpeg[2 : (scan + len(jpeg)) // 2])
    write("no_scan.jpg", jpeg[:sos] + b"\xff\xd9")
    # Sixteen ones in a row are no code in any table.
    write("scan_overwritten.jpg", replaced(jpeg, scan + 60, b"\xff\0" * 20))
    write("foreign_marker_in_scan.jpg", jpeg[: scan + 80] + b"\xff\xf3\x00\x04ab" + jpeg[scan + 80 :])
    write("comment_in_scan.jpg", jpeg[: scan + 80] + segment(0xFE, b"ab") + jpeg[scan + 80 :])
    write("no_quantisation.jpg", jpeg.replace(b"\xff\xdb", b"\xff\xee"))
    write("no_huffman.jpg", jpeg.replace(b"\xff\xc4", b"\xff\xee"))
    write("zero_height.jpg", replaced(jpeg, sof + 5, b"\0\0"))
    write("zero_components.jpg", replaced(jpeg, sof + 9, b"\0"))
    write("sampling_zero.jpg", replaced(jpeg, sof + 11, b"\0"))
    write("segment_without_length.jpg", jpeg[:2] + b"\xff\xe0\0\0" + jpeg[2:])
    write("two_frames.jpg", jpeg[:sos] + jpeg[sof : sof + 19] + jpeg[sos:])
    write("scan_before_frame.jpg", jpeg[:sof] + jpeg[sof + 19 :])
    write("arithmetic.jpg", jpeg.replace(b"\xff\xc0", b"\xff\xc9"))
    write("lossless.jpg", jpeg.replace(b"\xff\xc0", b"\xff\xc3"))
    write("twelve_bit.jpg", replaced(jpeg, sof + 4, b"\x0c"))
    write("claims_65500_square.jpg", replaced(jpeg, sof + 5, struct.pack(">HH", 65500, 65500)))
    write("claims_7000_square.jpg", replaced(jpeg, sof + 5, struct.pack(">HH", 7000, 7000)))
    progressive = encoded("JPEG", quality=90, progressive=True)
    write("progressive_cut.jpg", progressive[: len(progressive) * 3 // 4])
    at = progressive.index(b"\xff\xc2")
    write("progressive_claims_7000_square.jpg", replaced(progressive, at + 5, struct.pack(">HH", 7000, 7000)))
    # 49 million pixels of four components pass, but not beside their coefficients, all of which are held at once.
    four = encoded("JPEG", image=scene().convert("CMYK"), progressive=True)
    at = four.index(b"\xff\xc2")
    write("progressive_too_much_memory.jpg", replaced(four, at + 5, struct.pack(">HH", 7000, 7000)))
    one = progressive[progressive.rindex(b"\xff\xda") : -2]
    write("hundred_scans.jpg", progressive[:-2] + one * 100 + b"\xff\xd9")
    write("second_scan_after_all.jpg", jpeg[:-2] + jpeg[sos:])


def pngs():
    image = scene()
    rows = [b"".join(bytes(image.getpixel((x, y))) for x in range(48)) for y in range(32)]
    good = png(48, 32, 8, 2, rows)
    idat = good.index(b"IDAT")
    write("signature_only.png", good[:8])
    write("half_signature.png", good[:4])
    write("cut_in_header.png", good[:20])
    write("cut_in_pixels.png", good[: idat + 200])
    write("pixels_missing.png", good[: idat - 4] + chunk(b"IEND", b""))
    write("end_missing.png", good[:-12])
    write("rows_missing.png", png(48, 32, 8, 2, rows[:16]))
    write("checksum_wrong.png", replaced(good, idat + 100, bytes([good[idat + 100] ^ 0x55])))
    write("not_zlib.png", good[: idat - 4] + chunk(b"IDAT", b"not zlib at all") + chunk(b"IEND", b""))
    write("zero_width.png", png(0, 32, 8, 2, []))
    write("depth_three.png", png(48, 32, 3, 2, rows))
    write("palette_missing.png", png(48, 32, 8, 3, [bytes(48)] * 32))
    write("chunk_of_2_gib.png", good[:33] + b"\x7f\xff\xff\xffzTXt" + good[33:])
    # 50 000 x 50 000 zeros in 1-bit grey unpack to 312 MB; the beginning of the data is enough to begin.
    header = struct.pack(">IIBBBBB", 50000, 50000, 1, 0, 0, 0, 0)
    zeros = zlib.compress(bytes(4 << 20), 9)
    bomb = chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
    write("bomb_50000_square.png", good[:8] + bomb)
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)
    write("claims_2_to_31.png", good[:8] + chunk(b"IHDR", header) + good[33:])
    header = struct.pack(">IIBBBBB", 16000, 3000, 16, 6, 0, 0, 0)
    write("deep_too_much_memory.png", good[:8] + chunk(b"IHDR", header) + good[33:])
    header = struct.pack(">IIBBBBB", 16001, 3000, 8, 2, 0, 0, 0)
    write("claims_48_megapixels.png", good[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b""))


def gifs():
    good = encoded("GIF", image=scene().quantize(64))
    frame = good.index(b"\x2c")
    write("header_only.gif", good[:13])
    write("cut_in_pixels.gif", good[:-150])
    write("no_frame.gif", good[:13] + b"\x3b")
    write("zero_canvas.gif", replaced(good, 6, bytes(4)))
    write("canvas_65535_square.gif", replaced(good, 6, b"\xff\xff\xff\xff"))
    descriptor = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    write("frame_65535_square.gif", good[:frame] + descriptor + good[frame + 10 :])
    write("code_size_of_200.gif", replaced(good, frame + 10, b"\xc8"))
    data = frame + 11
    write("pixels_missing.gif", good[:data] + b"\0\x3b")
    write("pixels_overwritten.gif", replaced(good, data + 1, bytes((i * 89 + 200) % 256 for i in range(100))))


def bmps():
    good = encoded("BMP")
    write("cut_in_pixels.bmp", good[: len(good) // 2])
    write("header_only.bmp", good[:54])
    write("cut_in_header.bmp", good[:30])
    write("claims_60000_square.bmp", bmp(60000, 60000, pixels=bytes(64)))
    write("claims_7000_square.bmp", bmp(7000, 7000, pixels=bytes(64)))
    write("negative_width.bmp", bmp(-48, 32, pixels=bytes(64)))
    write("lowest_height.bmp", bmp(48, -(2**31), pixels=bytes(64)))
    write("zero_width.bmp", bmp(0, 32, pixels=bytes(64)))
    write("depth_of_7.bmp", bmp(48, 32, bits=7, pixels=bytes(64)))
    write("holds_jpeg.bmp", bmp(48, 32, bits=0, compression=4, pixels=bytes(64)))
    write("palette_of_4_billion.bmp", bmp(48, 32, bits=8, colors=2**32 - 1, pixels=bytes(64)))
    write("pixels_past_the_end.bmp", replaced(good, 10, b"\xff\xff\xff\xff"))
    rle = bmp(7000, 7000, bits=8, compression=1, pixels=bytes(1024) + b"\x05\x01" * 8)
    write("run_length_cut.bmp", replaced(rle, 10, struct.pack("<I", 54 + 1024)))


def webps():
    lossy = encoded("WEBP", quality=90)
    lossless = encoded("WEBP", lossless=True)
    second = Image.new("RGB", (48, 32), (255, 255, 0))
    animated = encoded("WEBP", save_all=True, append_images=[second], lossless=True)
    write("header_only.webp", lossy[:12])
    write("cut_lossy.webp", lossy[:100])
    write("cut_lossless.webp", lossless[:80])
    write("cut_animated.webp", animated[:200])
    short = lossy[20:100]
    write("cut_but_relabelled.webp", riff(riff_chunk(b"VP8 ", short)))
    write("cut_lossless_but_relabelled.webp", riff(riff_chunk(b"VP8L", lossless[20:60])))
    write("no_chunk.webp", riff())
    extended = lambda flags, width, height: riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + le24(width - 1) + le24(height - 1))
    write("extended_without_pixels.webp", riff(extended(0, 48, 32)))
    write("animation_without_frames.webp", riff(extended(2, 48, 32), riff_chunk(b"ANIM", bytes(6))))
    write("canvas_16777216_square.webp", riff(extended(2, 1 << 24, 1 << 24), riff_chunk(b"ANIM", bytes(6))))
    payload = lossy[20 : 20 + struct.unpack("<I", lossy[16:20])[0]]
    hidden = replaced(payload, 6, struct.pack("<HH", 0x3FFF, 0x3FFF))
    write("hidden_16383_square.webp", riff(extended(0, 48, 32), riff_chunk(b"VP8 ", hidden)))
    place = le24(0) + le24(0) + le24(47) + le24(31) + le24(100) + b"\0"
    frame = riff_chunk(b"ANMF", place + riff_chunk(b"VP8 ", hidden))
    write("hidden_in_frame.webp", riff(extended(2, 48, 32), riff_chunk(b"ANIM", bytes(6)), frame))
    exif = b"EXIF" + struct.pack("<I", 0xFFFFFFF0) + b"II*\0"
    write("metadata_of_4_gib.webp", riff(extended(8, 48, 32), riff_chunk(b"VP8 ", payload), exif))
    not_key = bytes([payload[0] | 1]) + payload[1:]
    write("not_a_key_frame.webp", riff(riff_chunk(b"VP8 ", not_key)))
    write("lossless_overwritten.webp", replaced(lossless, 30, bytes((i * 73 + 5) % 256 for i in range(60))))


for make in (no_pictures, jpegs, pngs, gifs, bmps, webps):
    make()
