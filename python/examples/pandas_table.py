"""Which rows of a table show a picture that was seen before? `python pandas_table.py HOME TABLE.csv` (columns: path, sku)"""

import sys

import pandas
import tongkuan


def deduplicate(engine: tongkuan.Engine, table: pandas.DataFrame) -> pandas.DataFrame:
    """The table with what became of each picture, in the order of its rows."""
    checked = engine.check_many(table["path"], keys=table["sku"].astype(str), add=True).collect().to_pandas()
    told = checked[["outcome", "matched_label", "confidence", "error"]].set_index(table.index)
    return table.join(told)


if __name__ == "__main__":
    home, source = sys.argv[1:]
    print(deduplicate(tongkuan.Engine(home), pandas.read_csv(source)).to_csv(index=False))
