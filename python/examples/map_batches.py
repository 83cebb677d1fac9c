"""For Ray Data (`dataset.map_batches(Check, fn_constructor_args=[home], concurrency=1, batch_format="pandas")`) and Spark
(`frame.mapInPandas(...)`): a class that opens its engine once a worker, and a batch at a time.

One home serves all workers of one machine; check-or-add stays atomic between them.
"""

from collections.abc import Iterator

import pandas
import tongkuan


class Check:
    """A callable for Ray Data."""

    def __init__(self, home: str) -> None:
        self.engine = tongkuan.Engine(home)

    def __call__(self, batch: pandas.DataFrame) -> pandas.DataFrame:
        checked = self.engine.check_many(batch["path"], add=True).collect()
        return batch.assign(outcome=[c.outcome for c in checked], seen_as=[c.matched_label for c in checked])


def check_in_spark(home: str, batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
    """`frame.mapInPandas(functools.partial(check_in_spark, home), "path string, outcome string, seen_as string")`"""
    check = Check(home)
    for batch in batches:
        yield check(batch)
