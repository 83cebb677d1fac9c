"""Many pictures: order, errors, stopping, tables."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tongkuan
from test_engine import jpeg


def test_a_batch_knows_its_own_pictures(engine: tongkuan.Engine, photos: list[Path]) -> None:
    pictures = [photos[0], photos[1], jpeg(photos[0]), photos[0]]
    checked = engine.check_many(pictures).collect()
    assert [c.outcome for c in checked] == ["new", "new", "seen", "seen"]
    assert [c.matched_row for c in checked] == [None, None, 0, 0]
    assert engine.stats()["counts"]["photos"] == 0


def test_one_that_cannot_be_used_does_not_stop_the_others(engine: tongkuan.Engine, photos: list[Path]) -> None:
    checked = engine.check_many([photos[0], b"no picture", None, "/no/such.jpg", photos[1]], add=True).collect()  # type: ignore[list-item]
    assert [c.outcome for c in checked] == ["new", "error", "error", "error", "new"]
    assert all(c.error and c.code for c in checked if c.outcome == "error")


def test_keys_are_carried_through(engine: tongkuan.Engine, photos: list[Path]) -> None:
    checked = engine.check_many(photos[:2], keys=["A", None], add=True).collect()
    assert [c.key for c in checked] == ["A", None]
    assert engine.check(photos[0]).matched_label == "A"


def test_an_endless_iterator_is_read_as_far_as_it_is_needed(engine: tongkuan.Engine, photos: list[Path]) -> None:
    read = 0

    def endless() -> Iterator[Path]:
        nonlocal read
        for photo in itertools.cycle(photos[:2]):
            read += 1
            yield photo

    with engine.check_many(endless(), add=True) as stream:
        first = list(itertools.islice(stream, 5))
    assert [c.row for c in first] == [0, 1, 2, 3, 4]
    assert read < 4000


def test_an_exception_of_the_iterator_comes_out(engine: tongkuan.Engine, photos: list[Path]) -> None:
    def failing() -> Iterator[Path]:
        yield photos[0]
        raise LookupError("the source is gone")

    stream = engine.check_many(failing(), add=True)
    assert next(stream).outcome == "new"
    with pytest.raises(LookupError, match="the source is gone"):
        next(stream)
    assert engine.check(photos[0]).outcome == "seen"


def test_goods_are_added_by_the_batch(engine: tongkuan.Engine, photos: list[Path]) -> None:
    goods = [{"picture": photo, "id": f"A-{number}", "price": 3.5} for number, photo in enumerate(photos[:3])]
    goods.append({"picture": b"no picture", "id": "bad"})
    goods.append({"picture": photos[0], "id": "dear", "price": "much"})
    added = engine.add_many(goods).collect()
    assert [(a.id, a.is_new, a.code) for a in added[:3]] == [(f"A-{n}", True, None) for n in range(3)]
    assert [a.id for a in added if a.error] == ["bad", "dear"]
    assert engine.search(photos[1]).offers[0].offer_id == "A-1"
    with pytest.raises(tongkuan.ArgumentError, match="colour"):
        engine.add_many([{"picture": photos[0], "id": "A", "colour": "red"}]).collect()
    with pytest.raises(tongkuan.ArgumentError):
        engine.add(photos[0], id="A", price="much")


def test_results_become_tables(engine: tongkuan.Engine, photos: list[Path]) -> None:
    checked = engine.check_many([photos[0], photos[0], b"no picture"]).collect()
    frame = checked.to_pandas()
    assert list(frame["outcome"]) == ["new", "seen", "error"] and "json" not in frame
    table = checked.to_arrow()
    assert table.column("outcome").to_pylist() == list(frame["outcome"])
    searched = engine.search_many(photos[:2]).to_arrow()
    assert searched.column("verdict").to_pylist() == ["miss", "miss"]


def test_a_result_is_made_of_a_line_of_the_command_line(engine: tongkuan.Engine, photos: list[Path]) -> None:
    (line,) = engine.check_many([photos[0]]).lines()
    checked = tongkuan.Checked.of_json(line)
    assert (checked.outcome, checked.json) == ("new", line)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_a_batch_and_loses_nothing(tmp_path: Path, photos: list[Path]) -> None:
    script = """
import itertools, signal, sys, tongkuan
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background, which ignores it
engine = tongkuan.Engine(sys.argv[1], offline=True)
told = 0
try:
    for checked in engine.check_many(itertools.cycle(sys.argv[2:]), add=True):
        told += checked.added
        if checked.row == 20: print("far enough", flush=True)
except KeyboardInterrupt:
    print(told, tongkuan.Engine(sys.argv[1], offline=True).stats()["counts"]["photos"])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "home"), *map(str, photos[:3])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "far enough\n"
        child.send_signal(signal.SIGINT)
        told, stored = child.stdout.read().split()
        assert child.wait(timeout=60) == 0 and told == stored == "3"
