from collections.abc import Iterator
from typing import Any

__version__: str

class TongkuanError(Exception):
    code: str

class PictureError(TongkuanError): ...
class ArgumentError(TongkuanError): ...
class ConfigurationError(TongkuanError): ...
class Interrupted(TongkuanError): ...

def encode_png(pixels: bytes, height: int, width: int, channels: int) -> bytes: ...

class Batch:
    def __iter__(self) -> Batch: ...
    def __next__(self) -> str: ...
    def close(self) -> None: ...

class NativeEngine:
    def __init__(
        self,
        home: str | None,
        config_file: str | None,
        model: str | None,
        provider: str | None,
        offline: bool | None,
        upstreams: list[str] | None,
        base_url: str | None,
        daily_budget: int | None,
        max_false_hit: float | None,
        library: str | None,
    ) -> None: ...
    def home(self) -> Any: ...
    def warm_up(self) -> None: ...
    def search(
        self,
        given: bytes | str,
        label: str | None,
        mode: str,
        *,
        category: int | None,
        price_min: str | None,
        price_max: str | None,
        keyword: str | None,
        max_min_order: int | None,
        region: str | None,
        page: int,
        page_size: int,
        pages: int,
        all_upstreams: bool,
        suggested_regions: bool,
        max_calls: int | None,
        max_age_days: float | None,
        defer: int | None,
        force: bool,
        deadline_secs: float | None,
        filters: list[str],
        sort: str | None,
        upstream_keyword: str | None,
        translate_keyword: bool,
        auxiliary_text: str | None,
        item_title: str | None,
        collection: str | None,
        language: str | None,
    ) -> str: ...
    def check(
        self, rows: Iterator[tuple[str, str | None, bytes | str]], add: bool, thorough: bool, unordered: bool
    ) -> Batch: ...
    def add(self, goods: Iterator[dict[str, Any]]) -> Batch: ...
    def similar(
        self,
        given: bytes | str,
        label: str | None,
        k: int,
        *,
        kind: str | None,
        answered_by: str | None,
        category: int | None,
        price_min: str | None,
        price_max: str | None,
    ) -> str: ...
    def tell(
        self, one: int | tuple[bytes | str, str], other: int | tuple[bytes | str, str], same: bool | None
    ) -> str: ...
    def photo(self, photo_id: int) -> str | None: ...
    def details(self, offer_id: str, mode: str) -> str: ...
    def history(self, offer_id: str) -> str: ...
    def quota(self) -> str: ...
    def stats(self) -> str: ...
