"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas
import pytest
import tongkuan

FOLDER = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_a_table_is_deduplicated(engine: tongkuan.Engine, photos: list[Path]) -> None:
    table = pandas.DataFrame({"path": [str(photos[0]), str(photos[1]), str(photos[0])], "sku": [1, 2, 3]})
    told = example("pandas_table").deduplicate(engine, table)
    assert list(told["outcome"]) == ["new", "new", "seen"] and told["matched_label"][2] == "1"


def test_workers_map_batches(tmp_path: Path, photos: list[Path]) -> None:
    module = example("map_batches")
    batch = pandas.DataFrame({"path": [str(photos[0]), str(photos[0])]})
    assert list(module.Check(str(tmp_path / "home"))(batch)["outcome"]) == ["new", "seen"]
    (mapped,) = module.check_in_spark(str(tmp_path / "home"), iter([batch]))
    assert list(mapped["outcome"]) == ["seen", "seen"]


def test_a_route_answers(tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.setenv("TONGKUAN_HOME", str(tmp_path / "home"))
    module = example("fastapi_route")
    with TestClient(module.app) as client:
        answer = client.post("/seen", content=photos[0].read_bytes())
        assert answer.json()["outcome"] == "new"
        refused = client.post("/seen", content=b"no picture")
        assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "not_a_picture")
