"""The engine for asyncio: each call runs on a thread, so the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ._engine import Engine
from ._pictures import Picture
from ._results import Added, Answer, Checked, Details, OfferTerms, PairFeedback, Quota, Results, Similar

_END = object()


class AsyncEngine:
    """As `Engine`, which it is made of or opens: the same arguments and results, to be awaited."""

    def __init__(self, engine: Engine | None = None, **arguments: Any) -> None:
        self.engine = engine if engine is not None else Engine(**arguments)

    async def search(self, picture: Picture, **options: Any) -> Answer:
        """See `Engine.search`. A task that is cancelled leaves the search to end by itself: what it pays for is stored."""
        return await asyncio.to_thread(self.engine.search, picture, **options)

    async def check(self, picture: Picture, **options: Any) -> Checked:
        """See `Engine.check`."""
        return await asyncio.to_thread(self.engine.check, picture, **options)

    async def check_many(self, pictures: Iterable[Picture], **options: Any) -> AsyncIterator[Checked]:
        """See `Engine.check_many`."""
        with self.engine.check_many(pictures, **options) as stream:
            while (checked := await asyncio.to_thread(next, stream, _END)) is not _END:
                assert isinstance(checked, Checked)
                yield checked

    async def add(self, picture: Picture, **good: Any) -> Added:
        """See `Engine.add`."""
        return await asyncio.to_thread(self.engine.add, picture, **good)

    async def similar(self, picture: Picture, k: int = 10, **filters: Any) -> Results[Similar]:
        """See `Engine.similar`."""
        return await asyncio.to_thread(self.engine.similar, picture, k, **filters)

    async def same(self, one: int | Picture, other: int | Picture) -> PairFeedback:
        """See `Engine.same`."""
        return await asyncio.to_thread(self.engine.same, one, other)

    async def not_same(self, one: int | Picture, other: int | Picture) -> PairFeedback:
        """See `Engine.not_same`."""
        return await asyncio.to_thread(self.engine.not_same, one, other)

    async def details(self, offer_id: str, **options: Any) -> Details:
        """See `Engine.details`."""
        return await asyncio.to_thread(self.engine.details, offer_id, **options)

    async def history(self, offer_id: str) -> Results[OfferTerms]:
        """See `Engine.history`."""
        return await asyncio.to_thread(self.engine.history, offer_id)

    async def quota(self) -> Quota:
        """See `Engine.quota`."""
        return await asyncio.to_thread(self.engine.quota)
