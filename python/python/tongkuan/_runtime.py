"""Finds the shared library of ONNX Runtime in the installed package `onnxruntime`, without importing that."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# What the library takes for yes; anything else leaves its telemetry on.
_YES = {"1", "true", "yes", "on"}


def keep_telemetry_off() -> None:
    """From 1.29 on the library's telemetry runs unless this variable is set before the library is loaded."""
    if os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() not in _YES:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def library() -> str | None:
    """The library's path; `None` where ORT_DYLIB_PATH names one, or the package is not installed."""
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found and found.submodule_search_locations) or ():
        capi = Path(folder) / "capi"
        for pattern in ("libonnxruntime.so*", "libonnxruntime.*dylib", "onnxruntime.dll"):
            for path in sorted(capi.glob(pattern)):
                return str(path.resolve())
    return None
