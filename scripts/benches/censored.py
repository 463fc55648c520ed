"""scripts/bench censored: stock-outs planted into real series, and what knowing of them is worth.

Takes the windows of a lake, plants a silence of 2 to 4 periods into a tenth of the fast sellers, and measures against
the sales that really happened: the estimated demand of the silent periods, and a level forecast right after them, with
and without masking. Also how many silences the evidence of zero runs finds, and how many it sees where none is planted.
"""

import argparse
import json

import numpy as np
import pyarrow.compute as pc

from shelfcast.features.stockouts import expected_units, zero_runs
from shelfcast.lake.snapshot import Snapshot
from shelfcast.models.censoring import available_mean

HORIZON = 4
LEVEL = 8  # periods of the stand-in's window average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", default="var/lake")
    parser.add_argument("--grain", default="week.product")
    parser.add_argument("--last", type=int, default=12, help="newest periods left out: keeps test origins unseen")
    parser.add_argument("--seed", type=int, default=2017)
    parser.add_argument("--significance", type=float, default=1e-4)
    given = parser.parse_args()
    units, length = fast_sellers(given.lake, given.grain, given.last)
    figures = measured(units, length, np.random.default_rng(given.seed), given.significance)
    for name, value in figures.items():
        print(f"{name:45} {value:10.4f}" if isinstance(value, float) else f"{name:45} {value:10d}")
    print(json.dumps({"bench": "censored", "ratio": figures["forecast_bias_masked"], **figures}))


def fast_sellers(lake: str, grain: str, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Series that sold in 9 of 10 periods of at least 26, without the ``last`` ones: units [N, C], length [N]."""
    snapshot = Snapshot(lake, "gold/windows")
    newest = pc.max(snapshot.arrow(["cutoff"], pc.field("grain") == grain)["cutoff"]).as_py()
    rows = snapshot.arrow(["units", "length"], (pc.field("grain") == grain) & (pc.field("cutoff") == newest))
    units = np.stack(rows["units"].to_numpy(zero_copy_only=False)).astype(np.float32)[:, :-last]
    length = rows["length"].to_numpy() - last
    fast = (length >= 26) & ((units > 0).sum(1) >= 0.9 * length)
    return units[fast], length[fast]


def planted(units: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N, C] bool: a silence of 2 to 4 periods, ended shortly before the horizon, in a tenth of the series."""
    context = units.shape[1] - HORIZON
    hit = np.zeros(units.shape, bool)
    for row in np.flatnonzero(generator.random(len(units)) < 0.1):
        run, recovered = generator.integers(2, 5), generator.integers(1, 4)
        hit[row, context - recovered - run : context - recovered] = True
    return hit


def measured(
    units: np.ndarray, length: np.ndarray, generator: np.random.Generator, significance: float
) -> dict[str, float | int]:
    """Biases against the sales that really happened, ÷ those sales."""
    hit = planted(units, generator)
    rows, context = hit.any(1), units.shape[1] - HORIZON
    silenced = np.where(hit, 0.0, units).astype(np.float32)[:, :context]
    past, truth, real = hit[:, :context], units[:, :context], length - HORIZON
    after = units[rows, context:].sum()
    found = zero_runs(silenced, real, significance, longest=8)
    known = {"unmasked": np.zeros_like(past), "masked": past, "by_zero_runs": found}
    figures: dict[str, float | int] = {"series": len(units), "planted": int(rows.sum())}
    for name, out in known.items():
        available = np.where(out, 0.0, 1.0).astype(np.float32)
        demand = np.where(out, np.maximum(expected_units(silenced, available, real), silenced), silenced)
        level = available_mean(silenced, available, real, LEVEL)[:, -1]
        missed = (demand - truth)[past].sum() / truth[past].sum()
        whole = (demand - truth)[rows].sum() / truth[rows].sum()
        figures[f"demand_bias_planted_periods_{name}"] = float(missed)
        figures[f"demand_bias_series_{name}"] = float(whole)
        figures[f"forecast_bias_{name}"] = float(HORIZON * level[rows].sum() / after - 1.0)
    clean = available_mean(truth, np.ones_like(truth), real, LEVEL)[:, -1]
    figures["forecast_bias_uncensored_history"] = float(HORIZON * clean[rows].sum() / after - 1.0)
    figures["zero_runs_recall"] = float((found & past).sum() / past.sum())
    undisturbed = zero_runs(truth, real, significance, longest=8)
    figures["zero_runs_false_share"] = float(undisturbed.sum() / np.minimum(real, context).sum())
    return figures


if __name__ == "__main__":
    main()
