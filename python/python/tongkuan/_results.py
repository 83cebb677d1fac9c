"""What the engine says, as dataclasses. Each knows the JSON that it was made of, which is that of the command line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    import pandas
    import pyarrow  # type: ignore[import-untyped]
    from typing_extensions import Self

T = TypeVar("T", bound="Result")


@dataclass(frozen=True)
class Result:
    """Made of a line of JSON."""

    json: str = field(repr=False, compare=False)
    """The line as the engine wrote it, with all that the fields here leave out."""

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Of one line of the command line's JSON, too. Fields that are not known here are left to `json`."""
        return cls._of(json.loads(text), text)

    @classmethod
    def _of(cls, value: dict[str, Any], text: str | None = None) -> Self:
        names = {f.name for f in dataclasses.fields(cls)} - {"json"}
        known = {name: cls._field(name, value[name]) for name in names if value.get(name) is not None}
        return cls(json=json.dumps(value) if text is None else text, **known)

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def to_dict(self) -> dict[str, Any]:
        """All that the engine said."""
        value: dict[str, Any] = json.loads(self.json)
        return value


@dataclass(frozen=True)
class Supplier(Result):
    """Who sells an offer."""

    company_name: str | None = None
    credit_level: str | None = None
    address: str | None = None
    years: int | None = None
    """As a paying member of the platform."""
    service_score: Decimal | None = None
    """0 to 5."""
    identities: tuple[str, ...] = ()

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return Decimal(str(value)) if name == "service_score" else super()._field(name, value)


@dataclass(frozen=True)
class PriceStep(Result):
    """From so many pieces on, each costs this."""

    from_quantity: int = 0
    price: Decimal = Decimal(0)
    """In yuan."""

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return Decimal(str(value)) if name == "price" else super()._field(name, value)


@dataclass(frozen=True)
class Offer(Result):
    """One thing for sale. Only the id and the title are certain."""

    offer_id: str = ""
    title: str = ""
    title_translated: str | None = None
    price: Decimal | None = None
    """Of one piece, in yuan."""
    dropship_price: Decimal | None = None
    """Of one piece that is sent to the buyer's own customer, in yuan."""
    promotion_price: Decimal | None = None
    dropships: bool | None = None
    min_order_quantity: int | None = None
    price_ladder: tuple[PriceStep, ...] = ()
    """What a piece costs by how many are ordered, where a search tells that."""
    stock: int | None = None
    """Pieces on sale, of all variants together."""
    weight_grams: int | None = None
    """Of one packed piece."""
    is_postage_free: bool | None = None
    """Whether the seller pays the freight within China."""
    category_ids: tuple[int, ...] = ()
    month_sold: int | None = None
    week_sold: int | None = None
    repurchase_percent: int | None = None
    """Buyers who come again."""
    trade_score: Decimal | None = None
    """0 to 5."""
    shipping_promise: str | None = None
    no_reason_return: bool | None = None
    """Whether it may be sent back within seven days without a reason."""
    is_patented: bool | None = None
    gives_invoice: bool | None = None
    invoice_types: tuple[str, ...] = ()
    similarity: int | None = None
    image_url: str | None = None
    detail_url: str | None = None
    supplier: Supplier | None = None
    seen_at: str | None = None
    """When price, sales and the rest were last told, as ISO 8601."""

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        if name in ("price", "dropship_price", "promotion_price", "trade_score"):
            return Decimal(str(value))
        if name == "price_ladder":
            return tuple(PriceStep._of(step) for step in value)
        return Supplier._of(value) if name == "supplier" else super()._field(name, value)


@dataclass(frozen=True)
class Matched(Result):
    """The stored picture that a new one was recognised as, or that stands out."""

    photo_id: int = 0
    kind: Literal["query", "own", "offer"] = "query"
    label: str = ""


@dataclass(frozen=True)
class Unanswered(Result):
    """Why nothing was asked, or asked in vain."""

    reason: str = ""
    """For programs."""
    message: str = ""
    retry_at: str | None = None
    queued: bool = False


@dataclass(frozen=True)
class Answer(Result):
    """The answer to one search."""

    id: str = ""
    verdict: Literal["hit", "review", "miss"] = "miss"
    """hit: answered with what is stored; review: a stored picture stands out, `why` says what speaks against it."""
    source: Literal["local", "upstream", "none"] = "none"
    """Where the offers came from."""
    rule: str | None = None
    """How the matched picture was recognised."""
    similarity: int | None = None
    """Of the matched, else the nearest picture, 0 to 100."""
    score: float | None = None
    """Cosine, -1 to 1."""
    confidence: float | None = None
    """How sure it is that both are the same, 0 to 1."""
    why: str | None = None
    rivals: tuple[int, ...] = ()
    threshold: float = 0.0
    """From this confidence on a picture is a hit."""
    max_false_hit: float | None = None
    """With 95 % certainty at most this share of the searches for unknown pictures passes the threshold."""
    fetched_at: str | None = None
    stale: bool = False
    as_of: str | None = None
    """Set where the home's database is away: what was stored, removed or told since then is not in the answer."""
    matched: Matched | None = None
    offers: tuple[Offer, ...] = ()
    total_offers: int | None = None
    filtered_out: int = 0
    suggested_regions: tuple[str, ...] = ()
    """Parts of the picture, for a `search` of their own with `region`."""
    parts: tuple[dict[str, Any], ...] = ()
    """What each upstream and each region brought, where several were asked."""
    timings_ms: dict[str, Any] = field(default_factory=dict)
    upstream_calls: int = 0
    """Search requests that counted against the quota."""
    unanswered: Unanswered | None = None
    explain: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        if name == "offers":
            return tuple(Offer._of(offer) for offer in value)
        if name == "matched":
            return Matched._of(value)
        return Unanswered._of(value) if name == "unanswered" else super()._field(name, value)


@dataclass(frozen=True)
class Checked(Result):
    """What became of one checked picture."""

    row: int = 0
    """Its place in the batch, from 0 on."""
    id: str = ""
    key: str | None = None
    source: str | None = None
    """Its path or address, unless it was given as bytes or pixels."""
    outcome: Literal["seen", "review", "new", "error"] = "new"
    photo_id: int | None = None
    """The stored photo that stands for the picture from now on."""
    added: bool = False
    """Whether that is a photo of its own."""
    matched_photo_id: int | None = None
    matched_row: int | None = None
    """The row of an earlier picture of this batch that is not stored."""
    matched_label: str | None = None
    matched_good: str | None = None
    rule: str | None = None
    score: float | None = None
    confidence: float | None = None
    why: str | None = None
    rivals: tuple[int, ...] = ()
    threshold: float | None = None
    max_false_hit: float | None = None
    compared_with: int | None = None
    error: str | None = None
    """What is wrong with this picture; the others of the batch go on."""
    code: str | None = None


@dataclass(frozen=True)
class Added(Result):
    """What became of one good of the user's own."""

    id: str = ""
    photo_id: int | None = None
    is_new: bool = False
    """False where a photo with the same bytes or pixels was there; the good was added to it."""
    photos: int = 0
    """How many photos show the good by now."""
    error: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Similar(Result):
    """A stored picture and how alike it is; no verdict."""

    photo_id: int = 0
    kind: Literal["query", "own", "offer"] = "query"
    label: str = ""
    added_at: str = ""
    similarity: int = 0
    score: float = 0.0


@dataclass(frozen=True)
class PairFeedback(Result):
    """What was remembered of two pictures."""

    photos: tuple[int, ...] = ()
    same: bool | None = None
    stored: tuple[int, ...] = ()
    """Those that were not stored before, and now are."""
    confidence: float | None = None
    forgotten: bool = False


@dataclass(frozen=True)
class Details(Result):
    """Everything about one offer."""

    id: str = ""
    detail: dict[str, Any] | None = None
    """`offer`, `image_urls`, `attributes`, `skus`, `price_ladder`, `weight_grams`, `ships_from`, `is_postage_free`,
    `freight`; what is not told is missing."""
    source: Literal["local", "upstream", "none"] = "none"
    fetched_at: str | None = None
    stale: bool = False
    upstream_calls: int = 0
    unanswered: Unanswered | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return Unanswered._of(value) if name == "unanswered" else super()._field(name, value)


@dataclass(frozen=True)
class OfferTerms(Result):
    """What was told of an offer from one time to another."""

    profile: str = ""
    since: str = ""
    until: str = ""
    price: Decimal | None = None
    """Of one piece, in yuan."""
    promotion_price: Decimal | None = None
    min_order_quantity: int | None = None
    month_sold: int | None = None

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return Decimal(str(value)) if name.endswith("price") else super()._field(name, value)


@dataclass(frozen=True)
class QuotaReport(Result):
    """The account of one upstream for the platform's present day."""

    profile: str = ""
    day: str = ""
    used: int = 0
    budget: int = 0
    left: int = 0
    resets_at: str = ""
    forecast: int | None = None
    open_until: str | None = None
    open_because: str | None = None


@dataclass(frozen=True)
class Quota(Result):
    """What may still be spent, and what was saved."""

    upstreams: tuple[QuotaReport, ...] = ()
    calls_saved: dict[str, int] = field(default_factory=dict)
    """`today` and `ever`."""
    waiting: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def _field(cls, name: str, value: Any) -> Any:
        return tuple(QuotaReport._of(report) for report in value) if name == "upstreams" else value


class Results(list[T], Generic[T]):
    """A list of results, and a table of them."""

    def to_arrow(self) -> pyarrow.Table:
        """A table with a column for each field; needs `pip install tongkuan[pandas]`."""
        import pyarrow

        return pyarrow.Table.from_pylist([_row(result) for result in self])

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with a column for each field; needs `pip install tongkuan[pandas]`."""
        import pandas

        return pandas.DataFrame([_row(result) for result in self])


def _row(result: Result) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Result):
            return value.json
        if isinstance(value, dict):
            return json.dumps(value)
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return value

    fields = (f.name for f in dataclasses.fields(result) if f.name != "json")
    return {name: plain(getattr(result, name)) for name in fields}


class Stream(Generic[T]):
    """Results as they come. Iterate over it, or `collect()` them; leaving a `with` block begins nothing more."""

    def __init__(self, batch: Any, kind: type[T]) -> None:
        self._batch = batch
        self._kind = kind

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._kind.of_json(next(self._batch))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Begins nothing more; what was told of is stored."""
        self._batch.close()

    def collect(self) -> Results[T]:
        """All that is to come."""
        return Results(self)

    def lines(self) -> Iterator[str]:
        """The lines of JSON instead, which cost less."""
        yield from self._batch
