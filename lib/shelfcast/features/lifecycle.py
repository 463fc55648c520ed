"""gold/series: how far along its life each series is, by its pattern of sales and by its listing.

A series stays active for a year after its last sale, because forecasting a zero costs nothing. Long before that its
silence may say that it was dropped: ``alive`` is that probability, and ``life`` puts it into a word.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import Grain, periods_since
from shelfcast.features.survival import Pattern, Survival, fitted

FADING, SILENT = 0.5, 0.05  # P(alive) below which a series is more likely dropped than not, and as good as certainly
_SAMPLE = 20_000  # series that the parameters are fitted on, so that the driver holds no more
_SEEN = ("_sold", "_last", "_seen")


def marked(series: DataFrame, grain: Grain, cutoff: date, horizon: int) -> DataFrame:
    """Series of one grain with ``alive``, ``any_sale`` and ``life``.

    alive: P(still sold); any_sale: P(a sale in the next ``horizon`` periods); life: new (never sold), running, fading
    or silent; all null for series that have ended. A series is running where there is too little to judge by.

    Args:
        series: rows as ``series.build`` returns them; first_sale is null for those never sold.
    """
    after = cutoff + timedelta(days=1)
    first, last, newest = (
        periods_since(day, after, grain.days) for day in (F.col("first_sale"), F.col("last_sale"), F.lit(cutoff))
    )
    patterned = series.withColumns({"_sold": F.col("sale_periods") - 1, "_last": last - first, "_seen": newest - first})
    sample = (
        patterned.where("status = 'active' AND first_sale IS NOT NULL")
        .orderBy(F.xxhash64("product_id", "store_id"), "product_id", "store_id")
        .limit(_SAMPLE)
        .groupBy(*_SEEN)
        .count()
        .toPandas()
    )
    repeated = sample.loc[sample.index.repeat(sample["count"])]
    survival = fitted(Pattern.of(*(repeated[name] for name in _SEEN)))
    schema = f"{_ddl(series)}, alive double, any_sale double, life string"
    return patterned.mapInPandas(_marker(survival, horizon, series.columns), schema)


def _ddl(frame: DataFrame) -> str:
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema.fields)


def _marker(
    survival: Survival | None, horizon: int, columns: list[str]
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    def mark(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield frame[columns].assign(**lives(frame, survival, horizon))

    return mark


def lives(frame: pd.DataFrame, survival: Survival | None, horizon: int) -> dict[str, Any]:
    """The three columns for rows with first_sale, status and the pattern of sales."""
    sold, status = frame["first_sale"].notna().to_numpy(), frame["status"].to_numpy()
    life = np.full(len(frame), None, object)
    life[status == "active"], life[status == "new"] = "running", "new"
    alive = any_sale = np.full(len(frame), np.nan)
    if survival is not None:
        pattern = Pattern.of(*(frame[name].fillna(0) for name in _SEEN))
        known = (status == "active") & sold
        alive = np.where(known, survival.alive(pattern), np.nan)
        any_sale = np.where(known, survival.any_sale(pattern, horizon), np.nan)
        life[alive < FADING], life[alive < SILENT] = "fading", "silent"
    return {name: pd.Series(values, frame.index) for name, values in (("alive", alive), ("any_sale", any_sale))} | {
        "life": pd.Series(life, frame.index)
    }
