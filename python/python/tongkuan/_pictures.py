"""What a picture may be: bytes, a path, an address, a PIL image or a numpy array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, Union

from ._native import ArgumentError, encode_png

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PilImage(Protocol):
    """A PIL image, as far as it is needed here."""

    mode: str
    size: tuple[int, int]

    def convert(self, mode: str) -> PilImage: ...
    def tobytes(self) -> bytes: ...


Picture = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", PilImage, "NDArray[Any]"]

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def given(picture: Picture) -> bytes | str:
    """The file's bytes, or a text that names a file or an address. Pixels are written as PNG, which loses nothing."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, (bytearray, memoryview)):
        return bytes(picture)
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if hasattr(picture, "tobytes") and hasattr(picture, "mode") and hasattr(picture, "convert"):
        return _of_pil(picture)
    if hasattr(picture, "__array_interface__") or hasattr(picture, "__array__"):
        return _of_array(picture)
    raise argument_error(
        f"a picture is bytes, a path, an address, a PIL image or a numpy array, not {type(picture).__name__}"
    )


def name(picture: Picture) -> str | None:
    """What a picture is called where it is not told: the last part of its path or address."""
    if isinstance(picture, (str, os.PathLike)):
        return None
    named = getattr(picture, "filename", None)
    return os.path.basename(named) if isinstance(named, str) and named else None


def _of_pil(image: Any) -> bytes:
    if image.mode not in _CHANNELS:
        # A palette or a mask may hold transparency.
        has_alpha = image.mode in ("P", "PA", "La") and "transparency" in image.info or image.mode in ("PA", "La")
        image = image.convert("RGBA" if has_alpha else "RGB")
    width, height = image.size
    return encode_png(image.tobytes(), height, width, _CHANNELS[image.mode])


def _of_array(array: Any) -> bytes:
    import numpy

    array = numpy.asarray(array)
    if array.dtype != numpy.uint8:
        raise argument_error(f"an array of pixels holds uint8 from 0 to 255, not {array.dtype}: convert it first")
    if array.ndim not in (2, 3):
        raise argument_error(f"an array of pixels has the shape (height, width) or (height, width, channels), not {array.shape}")
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    return encode_png(numpy.ascontiguousarray(array).tobytes(), height, width, channels)


def argument_error(text: str) -> ArgumentError:
    error = ArgumentError(text)
    error.code = "argument"
    return error
