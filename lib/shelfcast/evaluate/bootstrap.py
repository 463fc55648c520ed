"""How sure a difference in WAPE is: a paired bootstrap over series."""

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.evaluate.baselines import ROUNDED
from shelfcast.evaluate.compared import SERIES

SAMPLE = 20_000
RESAMPLES = 1_000


def series_errors(rows: DataFrame, baseline: str, seed: int) -> DataFrame:
    """Absolute errors per series of the model's median and of one baseline, for at most ``SAMPLE`` series.

    Args:
        rows: ``compared.compared``.
        baseline: its name, perhaps with the suffix of a rounded one.
        seed: chooses the series, by a hash of their key.

    Returns:
        y, ours, theirs: sums over the horizons.
    """
    rival = F.rint(baseline.removesuffix(ROUNDED)) if baseline.endswith(ROUNDED) else F.col(baseline)
    return (
        rows.groupBy(*SERIES)
        .agg(
            F.sum("y").alias("y"),
            F.sum(F.abs(F.col("y") - F.col("q50"))).alias("ours"),
            F.sum(F.abs(F.col("y") - rival)).alias("theirs"),
        )
        .orderBy(F.xxhash64(*SERIES, F.lit(seed)), *SERIES)
        .limit(SAMPLE)
        .select("y", "ours", "theirs")
    )


def interval(errors: pd.DataFrame, seed: int, resamples: int = RESAMPLES) -> tuple[float, float, float] | None:
    """WAPE of the model less that of the baseline, with its 95 % percentile interval (Efron 1979).

    Args:
        errors: y, ours, theirs per series; whole series are drawn, because a series' errors hang together.
        seed: of the draws.
        resamples: how many.

    Returns:
        difference, low, high; None where nothing was sold.
    """
    sold, gained = errors["y"].to_numpy(dtype=np.float64), (errors["ours"] - errors["theirs"]).to_numpy(np.float64)
    if sold.sum() <= 0:
        return None
    random = np.random.default_rng(seed)
    count = len(sold)
    differences = []
    for _ in range(resamples):
        weights = np.bincount(random.integers(0, count, count), minlength=count)
        drawn = weights @ sold
        if drawn > 0:
            differences.append((weights @ gained) / drawn)
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(gained.sum() / sold.sum()), float(low), float(high)
