"""Rows to be measured: per series and horizon the truth, the published forecast and every baseline."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.evaluate import baselines
from shelfcast.evaluate.traits import demand_class, naive_square
from shelfcast.lake.plans import PLANS
from shelfcast.models import boosting, window_tensors

SERIES = ["grain", "product_id", "store_id"]
CELL = ["horizon", "demand_class", "decile", "promoted"]
_LOADED: dict[str, boosting.Boosting] = {}

_TRAITS = ["demand_class", "promoted", "naive_square", "recent"]
BOOSTED_QUANTILES = {boosting.COLUMNS["q10"]: 0.1, boosting.COLUMNS["q90"]: 0.9}


@dataclass(frozen=True)
class Protocol:
    """What is compared with what.

    Attributes:
        names: statistical baselines.
        horizon: periods ahead that forecasts reach.
        season: periods of a season.
        context: periods of history in a window.
        seed: of the randomised probability integral transform.
        boosters: folder of trained boosters to compare with as well; empty without.
        boosted: their columns, of ``boosting.COLUMNS``.
    """

    names: Sequence[str]
    horizon: int
    season: int
    context: int
    seed: int
    boosters: str = ""
    boosted: Sequence[str] = ()

    @property
    def points(self) -> list[str]:
        """Every rival's point forecast: columns of ``compared``."""
        return [*self.names, *(name for name in self.boosted if name not in BOOSTED_QUANTILES)]

    @property
    def columns(self) -> list[str]:
        """Points and quantiles of all rivals."""
        return [*self.names, *self.boosted]


def eligible(series: DataFrame, min_sale_periods: int) -> DataFrame:
    """Active series that sold in at least so many periods: what accuracy is measured on."""
    enough = F.col("sale_periods") >= min_sale_periods
    return series.where(enough & (F.col("status") == "active")).select(*SERIES)


def histories(windows: DataFrame, measured: DataFrame, protocol: Protocol) -> DataFrame:
    """The measured series' windows at the cutoff, with the columns that baselines and segments need.

    Returns:
        series, length, units [context], velocity (pieces per period), planned [horizon] (share of stores promoting),
        and with boosters all that they are given.
    """
    ahead = [F.slice(name, protocol.context + 1, protocol.horizon) for name in PLANS]
    planned = F.expr("transform(arrays_zip(a, b, c, d), x -> cast(greatest(x.a, x.b, x.c, x.d) as double))")
    sold = F.aggregate("units", F.lit(0.0), lambda total, x: total + x)
    given = window_tensors.COLUMNS if protocol.boosters else ("length", "units")
    plain = [name for name in given if name not in SERIES]
    return (
        windows.join(measured, SERIES, "left_semi")
        .select(
            *SERIES,
            *plain,
            (sold / F.greatest("length", F.lit(1))).alias("velocity"),
            *[column.alias(alias) for column, alias in zip(ahead, "abcd", strict=True)],
        )
        .select(*SERIES, *plain, "velocity", planned.alias("planned"))
    )


def deciles(frame: DataFrame) -> tuple[list[float], int, int]:
    """Nine velocities that part the series in tenths, the longest history, how many series; empty without any."""
    parts = F.percentile_approx("velocity", F.array(*[F.lit(i / 10) for i in range(1, 10)]), 10_000)
    row = frame.agg(parts.alias("parts"), F.max("length").alias("longest"), F.count("*").alias("series")).first()
    if row is None or row["series"] == 0:
        return [], 0, 0
    return list(row["parts"]), int(row["longest"]), int(row["series"])


def usable(names: Sequence[str], longest: int, season: int) -> list[str]:
    """Baselines that the histories are long enough for: no seasonal naive without a whole season."""
    return [name for name in names if name != "seasonal_naive" or longest >= season] or ["naive"]


def baseline_rows(frame: DataFrame, protocol: Protocol, horizons: Sequence[int]) -> DataFrame:
    """Forecast every series by every baseline, in Arrow batches of whole series and without a shuffle.

    Args:
        frame: ``histories``.
        protocol: which baselines.
        horizons: the horizons that have arrived.

    Returns:
        series, horizon, velocity, demand_class, promoted, naive_square (the mean squared step of the history), recent
        (pieces in its last periods, as many as the horizon has), and a column per baseline.
    """
    wanted = list(horizons)
    types = ", ".join(f"{name} double" for name in protocol.columns)
    schema = (
        "grain string, product_id string, store_id string, horizon int, velocity double, "
        f"demand_class string, promoted boolean, naive_square double, recent double, {types}"
    )

    def blocks(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            if len(batch):
                yield _block(batch, protocol, wanted)

    return frame.mapInPandas(blocks, schema)


def _block(batch: pd.DataFrame, protocol: Protocol, horizons: list[int]) -> pd.DataFrame:
    units = np.stack(batch["units"].to_list()).astype(np.float64)
    length = batch["length"].to_numpy(dtype=np.int64)
    planned = np.stack(batch["planned"].to_list()).astype(np.float64)
    steps = [h - 1 for h in horizons]
    repeated = {name: np.repeat(batch[name].to_numpy(), len(steps)) for name in [*SERIES, "velocity"]}
    columns: dict[str, Any] = {
        **repeated,
        "horizon": np.tile(np.array(horizons, dtype=np.int32), len(batch)),
        "demand_class": np.repeat(demand_class(units, length), len(steps)),
        "promoted": (planned[:, steps] > 0).reshape(-1),
        "naive_square": np.repeat(naive_square(units, length), len(steps)),
        "recent": np.repeat(units[:, -protocol.horizon :].sum(axis=1), len(steps)),
    }
    for name in protocol.names:
        forecasts = baselines.forecast(name, units, length, protocol.horizon, protocol.season)
        columns[name] = forecasts[:, steps].reshape(-1)
    if protocol.boosters:
        for name, forecasts in _boosting(protocol.boosters).forecast(batch).items():
            columns[name] = forecasts[:, steps].reshape(-1)
    return pd.DataFrame(columns)[[*SERIES, "horizon", "velocity", *_TRAITS, *protocol.columns]]


def _boosting(uri: str) -> boosting.Boosting:
    """The boosters, loaded at this worker's first use of them."""
    if uri not in _LOADED:
        _LOADED.clear()
        _LOADED[uri] = boosting.load(uri)
    return _LOADED[uri]


def compared(
    baseline: DataFrame, forecasts: DataFrame, truth: DataFrame, parts: Sequence[float], protocol: Protocol
) -> DataFrame:
    """Join the published forecasts and the truth to every row that should have a forecast.

    A row without a forecast is ``missing`` and counts as a forecast of 0; one without sales has the truth 0.

    Returns:
        series, horizon, demand_class, decile (1 slowest .. 10), promoted, naive_square, recent, y, q10, q50, q90, mean,
        zero, count_mean, dispersion, missing, draw (uniform in [0, 1), from the key and the seed), and a column per
        baseline.
    """
    published = forecasts.select(
        *SERIES,
        "horizon",
        "q10",
        "q50",
        "q90",
        "mean",
        F.col("distribution.zero").alias("zero"),
        F.col("distribution.mean").alias("count_mean"),
        F.col("distribution.dispersion").alias("dispersion"),
    )
    rows = baseline.join(published, [*SERIES, "horizon"], "left").join(truth, [*SERIES, "horizon"], "left")
    faster: list[Column] = [(F.col("velocity") > part).cast("int") for part in parts]
    decile = F.lit(1)
    for step in faster:
        decile = decile + step
    draw = F.pmod(F.xxhash64(*SERIES, "horizon", F.lit(protocol.seed)), F.lit(2**31)) / F.lit(float(2**31))
    nothing = {"q10": 0.0, "q50": 0.0, "q90": 0.0, "mean": 0.0, "zero": 1.0, "count_mean": 1e-9, "dispersion": 1.0}
    filled = [F.coalesce(name, F.lit(value)).alias(name) for name, value in nothing.items()]
    return rows.select(
        *SERIES,
        "horizon",
        "demand_class",
        decile.alias("decile"),
        "promoted",
        "naive_square",
        "recent",
        F.coalesce("y", F.lit(0.0)).alias("y"),
        *filled,
        F.col("q50").isNull().alias("missing"),
        draw.alias("draw"),
        *protocol.columns,
    )
