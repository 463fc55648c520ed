"""Categories, departments and the chain: few enough rows for the driver, one per category, horizon and sum."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType

from shelfcast.lake.tables import contract
from shelfcast.models import reconciliation
from shelfcast.models.reconciliation import Estimate
from shelfcast.score.prices import GROUP

Array = NDArray[Any]
SCHEMA = StructType(
    [field for field in contract("gold/totals").schema() if field.name not in ("as_of", "period")]
    + [StructField("factor", DoubleType())]
)
_MEASURES = ("units", "revenue")
_AVERAGED = 8  # periods whose mean is the expectation that deviations are taken from
_DEVIATIONS = 26  # periods, the newest, whose deviations are looked at
_FEWEST = 8  # of them that say anything
_UNSEEN = 0.05  # correlation where there are fewer
_RATES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)


def history(windows: DataFrame, context: int) -> DataFrame:
    """Per category what was sold in each period of the context, and how its series varied about their averages.

    Args:
        windows: rows of gold/windows of one grain and cutoff.

    Returns:
        department, category, length (longest of a series), units [context], parts (sum of the series' variances) and
        spreads (sum of their standard deviations).
    """
    first = max(context - _DEVIATIONS, _AVERAGED)
    usual = f"aggregate(slice(units, t - {_AVERAGED - 1}, {_AVERAGED}), 0D, (sum, u) -> sum + u) / {_AVERAGED}"
    squares = f"transform(sequence({first}, {context - 1}), t -> pow(units[t] - {usual}, 2))"
    variance = F.expr(f"aggregate({squares}, 0D, (sum, square) -> sum + square) / {context - first}")
    named = [F.coalesce(name, F.lit("")).alias(name) for name in GROUP]
    each = windows.select(*named, "length", "units", variance.alias("variance"))
    sums = [F.sum(F.get("units", F.lit(place)).cast("double")) for place in range(context)]
    return each.groupBy(*GROUP).agg(
        F.max("length").alias("length"),
        F.array(*sums).alias("units"),
        F.sum("variance").alias("parts"),
        F.sum(F.sqrt("variance")).alias("spreads"),
    )


def rows(sums: pd.DataFrame, past: pd.DataFrame, method: str) -> pd.DataFrame:
    """Rows of gold/totals for every category, department and the chain, and each category's ``factor``.

    A sum's variance counts its parts' and what they have in common: series of a category, categories of a department
    and departments correlate by what their deviations from moving averages did. The price's own error is not in it.

    Args:
        sums: per category, horizon and sum: units, revenue, and of each the sums of variances and deviations.
        past: ``history``, collected.
        method: bottom_up, or wls: categories and the chain are forecast by themselves as well, by smoothing, and
            reconciled with the sums. Units and revenue of every series of a category are then multiplied by ``factor``.
    """
    groups = sums[list(GROUP)].drop_duplicates().sort_values(list(GROUP)).reset_index(drop=True)
    tree = _Tree(groups)
    ordered = groups.merge(past, on=list(GROUP), how="left")
    between = _correlations(ordered, tree)
    places = sums[["cumulative", "horizon", "target_start"]].drop_duplicates().sort_values(["cumulative", "horizon"])
    tables = {
        name: _pivot(sums, name, groups, places)
        for name in ("variance", "deviation", "revenue_variance", "revenue_deviation", *_MEASURES)
    }
    spread = _variances(tables["variance"], tables["deviation"], between, tree)
    horizon = int(places["horizon"].max())
    single = (~places["cumulative"]).to_numpy()
    factor = np.ones_like(tables["units"])
    if method == "wls":
        variances = [level[:, single] for level in spread]
        factor = _factors(ordered, tables["units"][:, single], variances, tree, horizon)
        for name in _MEASURES:
            own = tables[name][:, single] * factor
            tables[name] = np.concatenate([own, np.cumsum(own, 1)], 1)
        factor = np.concatenate([factor, factor], 1)
    money = _variances(tables["revenue_variance"], tables["revenue_deviation"], between, tree)
    levels = [
        _frame(
            level,
            tree,
            places,
            at,
            (tree.up(tables["units"], at), spread[at]),
            (tree.up(tables["revenue"], at), money[at]),
        )
        for at, level in enumerate(("chain", "department", "category"))
    ]
    levels[-1]["factor"] = factor.reshape(-1)
    found = pd.concat(levels, ignore_index=True).reindex(columns=SCHEMA.names)
    return found.astype(object).replace({np.nan: None})


class _Tree:
    """The categories' tree: ``names`` per level from the chain down, ``parents`` as positions in the level above."""

    def __init__(self, groups: pd.DataFrame) -> None:
        departments = sorted(groups["department"].unique())
        of_category = groups["department"].map({name: at for at, name in enumerate(departments)}).to_numpy(np.intp)
        self.names = [
            [("*", "*")],
            [(name, "*") for name in departments],
            list(groups.itertuples(index=False, name=None)),
        ]
        self.parents = [np.zeros(len(departments), np.intp), of_category]

    def up(self, values: Array, level: int) -> Array:
        """Values of categories summed to a level."""
        for at in range(1, level - 1, -1):
            values = reconciliation.summed(values, self.parents[at], len(self.names[at]))
        return values


def _pivot(sums: pd.DataFrame, name: str, groups: pd.DataFrame, places: pd.DataFrame) -> Array:
    """[categories, places]; NaN where a sum is unknown."""
    wide = sums.pivot(index=list(GROUP), columns=["cumulative", "horizon"], values=name)
    columns = pd.MultiIndex.from_frame(places[["cumulative", "horizon"]])
    return wide.reindex(index=pd.MultiIndex.from_frame(groups), columns=columns).to_numpy(float)


def _totals(past: pd.DataFrame) -> Array:
    """[categories, periods] sold in the periods that the log covers; without a history none."""
    covered = int(past["length"].max()) if past["length"].notna().any() else 0
    empty = [0.0] * covered
    found = [
        values[len(values) - covered :] if isinstance(values, list | np.ndarray) else empty for values in past["units"]
    ]
    return np.asarray(found, float).reshape(len(past), covered)


def _correlations(past: pd.DataFrame, tree: _Tree) -> list[float]:
    """Between departments, between categories of one department, between series of one category."""
    totals = _totals(past)
    count = min(_DEVIATIONS, totals.shape[1] - _AVERAGED)
    if count < _FEWEST:
        return [_UNSEEN] * 3
    variances = [_deviation(tree.up(totals, level), count) for level in range(3)]
    parts, spreads = (past[name].fillna(0.0).to_numpy(float) for name in ("parts", "spreads"))
    found = [reconciliation.correlation(variances[2], parts, spreads)]
    for level in (1, 0):
        below, parent = variances[level + 1], tree.parents[level]
        sums = (reconciliation.summed(values, parent, len(variances[level])) for values in (below, np.sqrt(below)))
        found.insert(0, reconciliation.correlation(variances[level], *sums))
    return found


def _deviation(totals: Array, count: int) -> Array:
    """[nodes] mean square of the newest ``count`` periods' deviations from the mean of those before each."""
    sums = np.concatenate([np.zeros((len(totals), 1)), np.cumsum(totals, 1)], 1)
    usual = (sums[:, _AVERAGED:-1] - sums[:, : -_AVERAGED - 1]) / _AVERAGED
    return np.asarray(((totals[:, _AVERAGED:] - usual)[:, -count:] ** 2).mean(1))


def _variances(parts: Array, spreads: Array, between: list[float], tree: _Tree) -> list[Array]:
    """[nodes, places] per level from the chain down."""
    found = [reconciliation.variance_of_sum(parts, spreads, between[2])]
    for level in (1, 0):
        below, parent, nodes = found[0], tree.parents[level], len(tree.names[level])
        sums = [reconciliation.summed(values, parent, nodes) for values in (below, np.sqrt(below))]
        found.insert(0, reconciliation.variance_of_sum(sums[0], sums[1], between[level]))
    return found


def _factors(past: pd.DataFrame, sums: Array, variances: list[Array], tree: _Tree, horizon: int) -> Array:
    """[categories, horizons] by which reconciliation multiplies the sums of the series; 1 where they are 0."""
    totals = _totals(past)
    if totals.shape[1] < _AVERAGED + horizon:
        return np.ones_like(sums)
    own = smoothed(totals, horizon)
    chain = smoothed(totals.sum(0, keepdims=True), horizon)
    nothing = Estimate(np.zeros_like(variances[1]), np.full_like(variances[1], np.inf))
    leaves = Estimate(sums, variances[2])
    parents = [*tree.parents, np.arange(len(sums))]
    final = np.maximum(reconciliation.reconciled([chain, nothing, own, leaves], parents)[-1], 0.0)
    return np.where(sums > 0.0, final / np.where(sums > 0.0, sums, 1.0), 1.0)


def smoothed(totals: Array, horizon: int) -> Estimate:
    """[nodes, horizon]: simple exponential smoothing at each row's best rate, with its past mean square errors."""
    nodes, periods = totals.shape
    best = np.full(nodes, np.inf)
    level, errors = np.zeros(nodes), np.zeros((nodes, horizon))
    for rate in _RATES:
        levels = np.empty((nodes, periods))
        now = totals[:, 0]
        for at in range(periods):
            now = now + rate * (totals[:, at] - now)
            levels[:, at] = now
        ahead = [
            (totals[:, _AVERAGED + step :] - levels[:, _AVERAGED - 1 : periods - step - 1]) ** 2
            for step in range(horizon)
        ]
        squares = np.stack([one.mean(1) for one in ahead], 1)
        better = squares.mean(1) < best
        best = np.where(better, squares.mean(1), best)
        level = np.where(better, levels[:, -1], level)
        errors = np.where(better[:, None], squares, errors)
    return Estimate(np.repeat(level[:, None], horizon, 1), errors)


def _frame(
    level: str, tree: _Tree, places: pd.DataFrame, at: int, units: tuple[Array, Array], revenue: tuple[Array, Array]
) -> pd.DataFrame:
    """Rows of one level: every node at every place."""
    nodes = tree.names[at]
    found = pd.DataFrame(
        {
            "level": level,
            "department": np.repeat([name for name, _ in nodes], len(places)),
            "category": np.repeat([name for _, name in nodes], len(places)),
            "product_id": "*",
            "store_id": "*",
        }
    )
    for name in ("horizon", "cumulative", "target_start"):
        found[name] = np.tile(places[name].to_numpy(), len(nodes))
    found["units"], found["revenue"] = units[0].reshape(-1), revenue[0].reshape(-1)
    counts = reconciliation.count_quantiles(*units).reshape(-1, 3)
    money = reconciliation.amount_quantiles(*revenue).reshape(-1, 3)
    for place, name in enumerate(("q10", "q50", "q90")):
        found[name], found[f"revenue_{name}"] = counts[:, place], money[:, place]
    return found
