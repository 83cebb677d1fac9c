"""The engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, Literal, Union

from . import _runtime
from ._native import ArgumentError, NativeEngine, PictureError, TongkuanError
from ._pictures import Picture, argument_error, given, name
from ._results import Added, Answer, Checked, Details, OfferTerms, PairFeedback, Quota, Results, Similar, Stream

Mode = Literal["default", "local", "refresh", "bypass"]
Kind = Literal["query", "own", "offer"]
Provider = Literal["cpu", "cuda", "openvino", "coreml"]
Price = Union[str, int, float, Decimal]


class Engine:
    """An engine on a home, which holds everything that was seen.

    One engine serves any number of threads; every call lets other Python threads run while it works. Several engines,
    in any number of processes and with the command line beside them, may use one home. A forked process opens its own;
    a pickled engine opens again where it is unpickled.

    home: a folder, or the address of a PostgreSQL database (postgres://...); by default what TONGKUAN_HOME or the configuration file names, else the platform's place.
    config_file, model: other files than the usual ones. provider: what the model runs on; any but "cpu" needs an ONNX
    Runtime that has it (onnxruntime-gpu or onnxruntime-openvino in the place of onnxruntime, or ORT_DYLIB_PATH), runs
    pictures that wait at the same moment together, and where its vectors are not comparable with the CPU's, a home is
    another model's with it. offline: never use the network. upstreams: whom to ask on a miss, in this order, of those
    that are configured. base_url: the address of the first upstream, or of all of them
    where it is on this machine, as a sandbox's is. daily_budget: calls a day. max_false_hit: the share of searches for
    unknown pictures that may be answered falsely, 0 to 1.

    Raises ConfigurationError when any of these cannot be used.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        config_file: str | os.PathLike[str] | None = None,
        model: str | os.PathLike[str] | None = None,
        provider: Provider | None = None,
        offline: bool | None = None,
        upstreams: Sequence[str] | None = None,
        base_url: str | None = None,
        daily_budget: int | None = None,
        max_false_hit: float | None = None,
    ) -> None:
        def text(path: str | os.PathLike[str] | None) -> str | None:
            return None if path is None else os.fspath(path)

        self._arguments: dict[str, Any] = {
            "home": text(home),
            "config_file": text(config_file),
            "model": text(model),
            "provider": provider,
            "offline": offline,
            "upstreams": None if upstreams is None else list(upstreams),
            "base_url": base_url,
            "daily_budget": daily_budget,
            "max_false_hit": max_false_hit,
        }
        self._native = NativeEngine(**self._arguments, library=_runtime.library())

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._arguments,)

    def __repr__(self) -> str:
        return f"Engine({str(self.home)!r})"

    @property
    def home(self) -> str:
        """The home: its folder, or its address without user and password."""
        return str(self._native.home())

    def warm_up(self) -> None:
        """Loads the model and the index, which the first call would do otherwise."""
        self._native.warm_up()

    def search(
        self,
        picture: Picture,
        *,
        label: str | None = None,
        mode: Mode = "default",
        category: int | None = None,
        price_min: Price | None = None,
        price_max: Price | None = None,
        keyword: str | None = None,
        max_min_order: int | None = None,
        region: str | None = None,
        page: int = 1,
        page_size: int = 20,
        pages: int = 1,
        all_upstreams: bool = False,
        suggested_regions: bool = False,
        max_calls: int | None = None,
        max_age_days: float | None = None,
        defer: int | None = None,
        force: bool = False,
        deadline_secs: float | None = None,
        filters: Iterable[str] = (),
        sort: str | None = None,
        upstream_keyword: str | None = None,
        translate_keyword: bool = False,
        auxiliary_text: str | None = None,
        item_title: str | None = None,
        collection: str | None = None,
        language: str | None = None,
    ) -> Answer:
        """Was this picture seen before, and what is offered for it?

        picture: a file's bytes, a path, an address, a PIL image or a numpy array of uint8. label: what it is called.
        mode: "default" answers from the home where the picture is known and asks the upstream otherwise, which costs a
        call; "local" never asks; "refresh" asks and stores; "bypass" asks and stores nothing. category, price_min,
        price_max (yuan), keyword, max_min_order: which offers are wanted. region: "left,top,right,bottom" in pixels.
        page, page_size (1 to 50), pages: each page that is not known costs a call. all_upstreams: ask every configured
        upstream, not the first one that can answer; suggested_regions: ask also about each part of the picture in which
        the upstream sees goods; an offer comes once, and `Answer.parts` tells what each brought. max_calls: calls at the
        most, repeated ones included; what is beyond is answered by what is stored. max_age_days: older answers are
        fetched anew. defer: a picture that cannot be asked about now waits, under this priority. force: ask about a
        picture in which nothing shows, too. deadline_secs: how long it may take.

        What follows is part of the question: other words are another call, and not every upstream takes all of it (one
        that does not raises). filters: the official search's words, such as "shipIn24Hours", "isOnePsale" and
        "certifiedFactory". sort: "price_asc", "month_sold_desc", "repurchase_rate_desc" and the like. upstream_keyword:
        what the upstream is to look for, too; translate_keyword: it is not in Chinese. auxiliary_text: what is meant in
        the picture. item_title: what the goods are called where the picture comes from. collection: a collection of the
        upstream's. language: of translated titles, such as "en".

        Raises PictureError, ArgumentError, Interrupted or TongkuanError. A quota that is spent is no error: see
        `Answer.unanswered`.
        """
        line = self._native.search(
            given(picture),
            label or name(picture),
            mode,
            category=category,
            price_min=_price(price_min),
            price_max=_price(price_max),
            keyword=keyword,
            max_min_order=max_min_order,
            region=region,
            page=page,
            page_size=page_size,
            pages=pages,
            all_upstreams=all_upstreams,
            suggested_regions=suggested_regions,
            max_calls=max_calls,
            max_age_days=max_age_days,
            defer=defer,
            force=force,
            deadline_secs=deadline_secs,
            filters=list(filters),
            sort=sort,
            upstream_keyword=upstream_keyword,
            translate_keyword=translate_keyword,
            auxiliary_text=auxiliary_text,
            item_title=item_title,
            collection=collection,
            language=language,
        )
        return Answer.of_json(line)

    def search_many(self, pictures: Iterable[Picture], *, threads: int | None = None, **options: Any) -> Results[Answer]:
        """`search` for each, on as many threads as there are cores. The first picture that fails ends it: where some may
        be broken, `check_many` tells which."""
        with ThreadPoolExecutor(max_workers=threads or os.cpu_count()) as pool:
            return Results(pool.map(lambda picture: self.search(picture, **options), pictures))

    def check(
        self, picture: Picture, *, key: str | None = None, add: bool = False, thorough: bool = False
    ) -> Checked:
        """Is this picture seen, to be reviewed, or new? Never asks an upstream.

        key: the user's own name for it. add: store what is new or to be reviewed, in one step with finding that out: of
        copies that are checked at the same time, by any number of processes, exactly one is new. thorough: look for
        stored pictures inside of it even where the first look rules that out.

        Raises PictureError when the picture cannot be used.
        """
        (checked,) = self.check_many([picture], keys=[key], add=add, thorough=thorough)
        if checked.error is not None:
            error = PictureError(checked.error)
            error.code = checked.code or "picture"
            raise error
        return checked

    def check_many(
        self,
        pictures: Iterable[Picture],
        *,
        keys: Iterable[str | None] | None = None,
        add: bool = False,
        thorough: bool = False,
        unordered: bool = False,
    ) -> Stream[Checked]:
        """`check` for each, on all cores, with bounded memory: the pictures may be an endless iterator.

        Pictures of the batch are compared with each other, too; the result does not depend on threads. One that cannot
        be used gives `outcome == "error"`, and the others go on. keys: as many as there are pictures. unordered: results as
        they are ready.
        """
        rows = _rows(pictures, keys)
        return Stream(self._native.check(rows, add, thorough, unordered), Checked)

    def add(
        self,
        picture: Picture,
        *,
        id: str,
        title: str = "",
        price: Price | None = None,
        category_ids: Sequence[int] = (),
        detail_url: str | None = None,
    ) -> Added:
        """Stores a good of the user's own with a picture of it: from then on a search for that picture, or an edited
        copy of it, is answered with the good. A good may have several pictures.

        Raises PictureError or ArgumentError when it cannot be stored.
        """
        good = {
            "picture": picture,
            "id": id,
            "title": title,
            "price": price,
            "category_ids": category_ids,
            "detail_url": detail_url,
        }
        (added,) = self.add_many([good])
        if added.error is not None:
            kind: type[TongkuanError] = ArgumentError if added.code in ("not_an_id", "not_a_price") else PictureError
            error = kind(added.error)
            error.code = added.code or "picture"
            raise error
        return added

    def add_many(self, goods: Iterable[Mapping[str, Any]]) -> Stream[Added]:
        """`add` for each, many times faster: mappings with the arguments of `add`. Each is on disk when it is told of."""
        return Stream(self._native.add(_goods(goods)), Added)

    def similar(
        self,
        picture: Picture,
        k: int = 10,
        *,
        kind: Kind | None = None,
        answered_by: str | None = None,
        category: int | None = None,
        price_min: Price | None = None,
        price_max: Price | None = None,
    ) -> Results[Similar]:
        """The `k` stored pictures that look most like this one, best first, without a verdict. kind: only those that were
        searched with ("query"), of own goods ("own") or of offers ("offer")."""
        line = self._native.similar(
            given(picture),
            name(picture),
            k,
            kind=kind,
            answered_by=answered_by,
            category=category,
            price_min=_price(price_min),
            price_max=_price(price_max),
        )
        return Results(Similar._of(one) for one in json.loads(line)["similar"])

    def same(self, one: int | Picture, other: int | Picture) -> PairFeedback:
        """Remembers that two pictures, or stored photos by their numbers, show the same: it outranks every score."""
        return self._tell(one, other, True)

    def not_same(self, one: int | Picture, other: int | Picture) -> PairFeedback:
        """Remembers that two pictures, or stored photos by their numbers, show different things."""
        return self._tell(one, other, False)

    def forget_same(self, one: int | Picture, other: int | Picture) -> bool:
        """Takes back what was said of the two; `False` where nothing was."""
        return self._tell(one, other, None).forgotten

    def _tell(self, one: int | Picture, other: int | Picture, same: bool | None) -> PairFeedback:
        return PairFeedback.of_json(self._native.tell(_one(one), _one(other), same))

    def photo(self, photo_id: int) -> dict[str, Any] | None:
        """What is known of a stored photo: its answers, what was said of it, its goods."""
        line = self._native.photo(photo_id)
        return None if line is None else dict(json.loads(line))

    def details(self, offer_id: str, *, mode: Mode = "default") -> Details:
        """Everything about one offer: ladder of prices, weight, variants, pictures. Known, or asked once, which costs a call;
        modes as of `search`."""
        return Details.of_json(self._native.details(offer_id, mode))

    def history(self, offer_id: str) -> Results[OfferTerms]:
        """What an offer cost over time, an entry for each time that something else was told, the oldest first; never asks."""
        told = json.loads(self._native.history(offer_id))
        return Results(OfferTerms._of(terms) for terms in told["history"])

    def quota(self) -> Quota:
        """What may still be spent today, and what was saved."""
        return Quota.of_json(self._native.quota())

    def stats(self) -> dict[str, Any]:
        """How much is stored."""
        return dict(json.loads(self._native.stats()))


def _reopened(arguments: dict[str, Any]) -> Engine:
    return Engine(**arguments)


def _price(price: Price | None) -> str | None:
    return None if price is None else str(price)


def _one(one: int | Picture) -> int | tuple[bytes | str, str]:
    if isinstance(one, int):
        return one
    picture = given(one)
    return picture, name(one) or (os.path.basename(picture) if isinstance(picture, str) else "bytes")


def _rows(
    pictures: Iterable[Picture], keys: Iterable[str | None] | None
) -> Iterator[tuple[str, str | None, bytes | str]]:
    named = iter(keys) if keys is not None else None
    for row, picture in enumerate(pictures):
        key = None if named is None else next(named, None)
        # One that is no picture at all is an error of its row, as one that cannot be decoded is.
        file: bytes | str
        try:
            file = given(picture)
        except ArgumentError:
            file = b""
        yield (file if isinstance(file, str) else name(picture) or str(row)), key, file


def _goods(goods: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    allowed = {"picture", "id", "title", "price", "category_ids", "detail_url"}
    for good in goods:
        unknown = set(good) - allowed
        if unknown or not {"picture", "id"} <= set(good):
            raise argument_error(f"a good has picture and id, and may have title, price, category_ids, detail_url, not {sorted(unknown)}")
        picture = good["picture"]
        file = given(picture)
        yield {
            "picture": file,
            "label": name(picture) or (os.path.basename(file) if isinstance(file, str) else str(good["id"])),
            "id": str(good["id"]),
            "title": good.get("title") or "",
            "price": _price(good.get("price")),
            "category_ids": list(good.get("category_ids") or ()),
            "detail_url": good.get("detail_url"),
        }
