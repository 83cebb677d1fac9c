"""Tongkuan (同款, "the same item"): have we seen this picture, also an edited copy of it?

>>> import tongkuan
>>> engine = tongkuan.Engine("shop")                                # doctest: +SKIP
>>> engine.check("new/lamp.jpg", add=True).outcome                  # doctest: +SKIP
'new'
"""

from . import _runtime

_runtime.keep_telemetry_off()

from ._engine import Engine  # noqa: E402
from ._native import (  # noqa: E402
    ArgumentError,
    ConfigurationError,
    Interrupted,
    PictureError,
    TongkuanError,
    __version__,
)
from ._pictures import Picture  # noqa: E402
from ._results import (  # noqa: E402
    Added,
    Answer,
    Checked,
    Details,
    Matched,
    Offer,
    OfferTerms,
    PairFeedback,
    PriceStep,
    Quota,
    QuotaReport,
    Results,
    Similar,
    Stream,
    Supplier,
    Unanswered,
)
from .aio import AsyncEngine  # noqa: E402

__all__ = [
    "Added", "Answer", "ArgumentError", "AsyncEngine", "Checked", "ConfigurationError", "Details", "Engine",
    "Interrupted", "Matched", "Offer", "OfferTerms", "PairFeedback", "Picture", "PictureError",
    "PriceStep", "Quota", "QuotaReport", "Results", "Similar",
    "Stream", "Supplier", "TongkuanError", "Unanswered", "__version__",
]
