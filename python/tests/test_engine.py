"""One picture at a time."""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy
import pytest
import tongkuan
from PIL import Image


def jpeg(path: Path, quality: int = 60, side: float = 0.8) -> bytes:
    """The picture smaller and compressed anew."""
    image = Image.open(path).convert("RGB")
    small = image.resize((int(image.width * side), int(image.height * side)))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_a_picture_is_new_then_seen_also_edited(engine: tongkuan.Engine, photos: list[Path]) -> None:
    first = engine.check(photos[0], key="A-1", add=True)
    assert (first.outcome, first.added, first.key) == ("new", True, "A-1")
    again = engine.check(photos[0])
    assert (again.outcome, again.rule, again.matched_label) == ("seen", "same_bytes", "A-1")
    edited = engine.check(jpeg(photos[0]))
    assert (edited.outcome, edited.matched_photo_id) == ("seen", first.photo_id)
    assert engine.check(photos[1]).outcome == "new"


def test_bytes_paths_pil_images_and_arrays_are_one_picture(engine: tongkuan.Engine, photos: list[Path]) -> None:
    added = engine.check(photos[0], add=True)
    image = Image.open(photos[0]).convert("RGB")
    for picture in (
        str(photos[0]),
        photos[0].read_bytes(),
        bytearray(photos[0].read_bytes()),
        image,
        image.convert("RGBA"),
        numpy.asarray(image),
    ):
        seen = engine.check(picture)
        assert (seen.outcome, seen.matched_photo_id) == ("seen", added.photo_id), type(picture)


def test_an_own_good_answers_the_search_for_a_copy(engine: tongkuan.Engine, photos: list[Path]) -> None:
    added = engine.add(photos[0], id="A-1", title="陶瓷马克杯", price="12.50", category_ids=[1031])
    assert added.is_new and added.photos == 1
    answer = engine.search(jpeg(photos[0]))
    assert (answer.verdict, answer.source, answer.upstream_calls) == ("hit", "local", 0)
    (offer,) = answer.offers
    assert (offer.offer_id, offer.title, str(offer.price)) == ("A-1", "陶瓷马克杯", "12.50")
    assert answer.matched is not None and answer.matched.kind == "own"
    assert answer.to_dict()["explain"]
    assert engine.search(photos[1]).verdict == "miss"


def test_what_people_say_of_two_pictures_is_remembered(engine: tongkuan.Engine, photos: list[Path]) -> None:
    told = engine.not_same(photos[0], photos[1])
    assert told.same is False and len(told.photos) == 2
    assert engine.same(*told.photos).same is True
    assert engine.forget_same(*told.photos) and not engine.forget_same(*told.photos)
    photo = engine.photo(told.photos[0])
    assert photo is not None and photo["matched"]["photo_id"] == told.photos[0]
    assert engine.photo(4711) is None


def test_the_most_alike_come_first(engine: tongkuan.Engine, photos: list[Path]) -> None:
    for number, photo in enumerate(photos[:4]):
        engine.add(photo, id=f"A-{number}")
    engine.check(jpeg(photos[0]), add=True)
    similar = engine.similar(photos[0], k=3, kind="own")
    assert similar[0].label == photos[0].name and similar[0].similarity == 100
    assert [s.score for s in similar] == sorted((s.score for s in similar), reverse=True)
    assert list(similar.to_pandas()["kind"]) == ["own"] * 3


@pytest.mark.parametrize(
    ("picture", "kind", "code"),
    [
        (b"no picture", tongkuan.PictureError, "not_a_picture"),
        ("/no/such/file.jpg", tongkuan.PictureError, None),
        ("https://pictures.example/a.jpg", tongkuan.PictureError, "offline"),
        ("ftp://pictures.example/a.jpg", tongkuan.PictureError, None),
        (numpy.zeros((4, 4)), tongkuan.ArgumentError, "argument"),
        (17.5, tongkuan.ArgumentError, "argument"),
    ],
)
def test_errors_have_codes(
    engine: tongkuan.Engine, picture: object, kind: type[tongkuan.TongkuanError], code: str | None
) -> None:
    with pytest.raises(kind) as raised:
        engine.search(picture)  # type: ignore[arg-type]
    assert isinstance(raised.value, tongkuan.TongkuanError) and str(raised.value)
    assert raised.value.code == code if code else raised.value.code


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "never"},
        {"page": 0},
        {"page_size": 51},
        {"pages": 101},
        {"max_age_days": -1.0},
        {"deadline_secs": float("nan")},
        {"price_min": "dear"},
        {"price_min": 3, "price_max": 2},
        {"filters": ["shipIn24Hour"]},
        {"sort": "cheap"},
        {"language": "english"},
        {"translate_keyword": True},
        {"upstream_keyword": "a\nb"},
        {"region": "1,2"},
        {"keyword": " "},
    ],
)
def test_arguments_out_of_range_are_refused(
    engine: tongkuan.Engine, photos: list[Path], options: dict[str, object]
) -> None:
    online = tongkuan.Engine(engine.home)
    with pytest.raises(tongkuan.ArgumentError):
        online.search(photos[0], **options)  # type: ignore[arg-type]


def test_a_configuration_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    with pytest.raises(tongkuan.ConfigurationError, match="config.toml") as raised:
        tongkuan.Engine(tmp_path, config_file=tmp_path / "config.toml")
    assert raised.value.code
    with pytest.raises(tongkuan.ArgumentError):
        tongkuan.Engine(tmp_path, upstreams=["nobody"])
    with pytest.raises(tongkuan.ArgumentError, match="cpu, cuda, openvino or coreml"):
        tongkuan.Engine(tmp_path, provider="gpu")  # type: ignore[arg-type]


def test_a_provider_that_the_runtime_lacks_is_refused_by_name(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(tongkuan.ConfigurationError, match="cuda") as raised:
        tongkuan.Engine(home, provider="cuda", offline=True)
    assert raised.value.code == "provider_unavailable"
    assert not home.exists()
    assert tongkuan.Engine(home, provider="cpu", offline=True).stats()


def test_other_threads_run_while_it_works(engine: tongkuan.Engine, photos: list[Path]) -> None:
    engine.warm_up()
    counted = 0
    done = threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.is_set():
            counted += 1

    counter = threading.Thread(target=count)
    counter.start()
    before = counted
    engine.search_many([jpeg(photo) for photo in photos[:4]])
    done.set()
    counter.join()
    assert counted > before


def test_searches_of_many_threads_agree_with_those_of_one(engine: tongkuan.Engine, photos: list[Path]) -> None:
    engine.check_many(photos[:4], add=True).collect()
    edited = [jpeg(photo) for photo in photos[:4]]
    alone = [engine.search(picture).verdict for picture in edited]
    assert [answer.verdict for answer in engine.search_many(edited, threads=4)] == alone


def test_asyncio_goes_on_beside_a_search(engine: tongkuan.Engine, photos: list[Path]) -> None:
    async def both() -> tuple[str, int]:
        agile = tongkuan.AsyncEngine(engine)
        search = asyncio.create_task(agile.search(photos[0]))
        ticks = 0
        while not search.done():
            await asyncio.sleep(0)
            ticks += 1
        checked = [c.outcome async for c in agile.check_many(photos[:2], add=True)]
        assert checked == ["new", "new"]
        return (await search).verdict, ticks

    verdict, ticks = asyncio.run(both())
    assert verdict == "miss" and ticks > 1


def test_a_pickled_engine_opens_again(engine: tongkuan.Engine, photos: list[Path]) -> None:
    engine.check(photos[0], add=True)
    again = pickle.loads(pickle.dumps(engine))
    assert again.home == engine.home and again.check(photos[0]).outcome == "seen"


def _forked(engine: tongkuan.Engine, answers: multiprocessing.Queue[str]) -> None:
    try:
        engine.stats()
        answers.put("worked")
    except tongkuan.ConfigurationError as error:
        answers.put(error.code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_is_told_to_open_its_own(engine: tongkuan.Engine) -> None:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=_forked, args=(engine, answers))
    child.start()
    assert answers.get(timeout=60) == "forked"
    child.join()


def test_onnxruntime_itself_works_beside_it(tmp_path: Path, photos: list[Path]) -> None:
    """Two copies of the runtime in one process, in both orders, each with a session."""
    script = """
import sys, numpy
order, picture, home = sys.argv[1:]
def theirs():
    import onnxruntime
    from onnxruntime.datasets import get_example
    session = onnxruntime.InferenceSession(get_example("sigmoid.onnx"), providers=["CPUExecutionProvider"])
    (half,) = session.run(None, {"x": numpy.zeros((3, 4, 5), "float32")})
    assert (half == 0.5).all()
def ours():
    import tongkuan
    return tongkuan.Engine(home, offline=True).check(picture, add=True).outcome
for one in (ours, theirs) if order == "ours" else (theirs, ours): one()
ours(), theirs()
print("both")
"""
    for order in ("ours", "theirs"):
        home = tmp_path / order
        ran = subprocess.run(
            [sys.executable, "-c", script, order, str(photos[0]), str(home)],
            capture_output=True, text=True, timeout=300,
        )
        assert ran.stdout == "both\n", ran.stderr


def test_nothing_is_written_outside_of_the_home(tmp_path: Path, photos: list[Path]) -> None:
    """The runtime's telemetry would write below HOME and TMPDIR."""
    script = "import sys, tongkuan; print(tongkuan.Engine(sys.argv[1], offline=True).check(sys.argv[2], add=True).outcome)"
    own, home = tmp_path / "own", tmp_path / "home"
    own.mkdir()
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR")
    environment = {**os.environ, **{name: str(own) for name in names}, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    ran = subprocess.run(
        [sys.executable, "-c", script, str(home), str(photos[0])],
        env=environment, capture_output=True, text=True, timeout=300,
    )
    assert ran.stdout == "new\n", ran.stderr
    assert list(own.rglob("*")) == []


def test_a_search_asks_once_and_then_knows(
    sandbox: dict[str, str], tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.items():
        monkeypatch.setenv(name, value)
    engine = tongkuan.Engine(tmp_path / "home", daily_budget=1)
    first = engine.search(photos[0])
    assert (first.verdict, first.source, first.upstream_calls) == ("miss", "upstream", 1)
    assert first.offers and first.offers[0].supplier is not None
    again = engine.search(jpeg(photos[0]))
    assert (again.verdict, again.upstream_calls) == ("hit", 0)
    assert [o.offer_id for o in again.offers] == [o.offer_id for o in first.offers]
    spent = engine.search(photos[1])
    assert spent.upstream_calls == 0 and spent.unanswered is not None and spent.unanswered.reason
    (account,) = engine.quota().upstreams
    assert (account.used, account.left) == (1, 0)
    assert engine.search(photos[2], mode="local").upstream_calls == 0


def test_details_cost_one_call_and_prices_have_a_history(
    sandbox: dict[str, str], tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.items():
        monkeypatch.setenv(name, value)
    profile = f'base_url = "{sandbox["TONGKUAN_BASE_URL"]}"\napp_key = "{sandbox["TONGKUAN_APP_KEY"]}"\nmin_interval_ms = 0\n'
    config = tmp_path / "config.toml"
    config.write_text(f'upstreams = ["article", "aop"]\n[upstream.article]\n{profile}[upstream.aop]\n{profile}')
    engine = tongkuan.Engine(tmp_path / "home", config_file=config)
    wide = engine.search(photos[0], all_upstreams=True)
    assert (wide.upstream_calls, len(wide.parts)) == (2, 2)
    assert len({offer.offer_id for offer in wide.offers}) == len(wide.offers)
    offer_id = wide.offers[0].offer_id
    details = engine.details(offer_id)
    assert details.upstream_calls == 1 and details.detail is not None
    assert len(details.detail["price_ladder"]) == 3 and details.detail["weight_grams"] > 0
    assert engine.details(offer_id, mode="local").upstream_calls == 0
    history = engine.history(offer_id)
    assert history and history[0].price is not None and history[0].since <= history[0].until
    assert engine.history("864704291266") == []


def test_answers_are_those_of_the_command_line_byte_for_byte(
    program: str, tmp_path: Path, photos: list[Path]
) -> None:
    from tongkuan import _runtime

    home = tmp_path / "home"
    library = _runtime.library() or os.environ["ORT_DYLIB_PATH"]
    environment = {**os.environ, "ORT_DYLIB_PATH": library, "TONGKUAN_HOME": str(home)}

    def told(*arguments: str) -> list[str]:
        ran = subprocess.run([program, "--json", "--offline", *arguments], env=environment, capture_output=True, text=True)
        assert ran.returncode < 2, ran.stderr
        return ran.stdout.splitlines()

    engine = tongkuan.Engine(home, offline=True)
    edited = tmp_path / "edited.jpg"
    edited.write_bytes(jpeg(photos[0]))
    paths = [str(photos[0]), str(photos[1]), str(edited), str(photos[0])]
    engine.add(photos[0], id="A-1", price="3.20")
    assert list(engine.check_many(paths).lines()) == told("check", *paths)
    for path in paths[:3]:
        ours = json.loads(engine.search(path).json)
        (theirs,) = (json.loads(line) for line in told("search", path))
        # Times are of each run; the command line's id is the path as it was given.
        for one in (ours, theirs):
            del one["timings_ms"], one["id"]
        assert json.dumps(ours) == json.dumps(theirs)
    assert engine._native.similar(str(edited), str(edited), 3, kind=None, answered_by=None, category=None,
                                  price_min=None, price_max=None) == told("similar", "-k", "3", str(edited))[0]
