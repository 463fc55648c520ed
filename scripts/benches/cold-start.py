"""scripts/bench cold-start: forecasts at the ends of a product's life, against averages, by Poisson deviance.

Reads what a lake published for an as-of date whose horizon has arrived. Launches are series first sold 1 to 4 periods
before; silent ones have not sold for 8 periods or more; new ones had never sold. `ratio` is the deviance of the
launches' forecasts ÷ that of the category × age launch mean.
"""

import argparse
import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.evaluate.launches import History, gaps, launch_means, mean_by_age, poisson_deviance
from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.snapshot import Snapshot

NEWEST, SILENT = 4, 8  # periods
KEY = ["product_id", "store_id"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", default="var/lake")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--grain", default="week.product")
    given = parser.parse_args()
    windows, forecast = published(given.lake, given.as_of, given.grain)
    horizon = forecast.shape[1]
    truth = sold(given.lake, given.grain, windows, horizon)
    figures: dict[str, object] = {}
    for name, (rows, rivals) in segments(windows, horizon).items():
        for rival, mean in {"forecast": forecast[rows], **rivals}.items():
            figures[f"{name}_{rival}"] = poisson_deviance(truth[rows], mean) if len(rows) else None
        figures[f"{name}_series"] = len(rows)
        figures[f"{name}_bias"] = float(forecast[rows].sum() / max(truth[rows].sum(), 1.0) - 1.0)
    for name, value in figures.items():
        print(f"{name:40} {value:10.4f}" if isinstance(value, float) else f"{name:40} {value!s:>10}")
    ratio = figures["launched_forecast"] / figures["launched_category_age_mean"]  # type: ignore[operator]
    print(json.dumps({"bench": "cold-start", "as_of": str(given.as_of), "ratio": ratio, **figures}))


def published(lake: str, as_of: date, grain: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Windows at the cutoff, and the forecast means [N, H] of the same series in the same order."""
    here = (pc.field("as_of") == as_of) & (pc.field("grain") == grain)
    columns = [*KEY, "horizon", "mean", "target_start"]
    rows = Snapshot(lake, "gold/forecasts").arrow(columns, here & ~pc.field("cumulative")).to_pandas()
    cutoff = min(rows["target_start"]) - timedelta(days=1)
    wide = rows.pivot_table(index=KEY, columns="horizon", values="mean")
    table = Snapshot(lake, "gold/windows").arrow(
        [*KEY, "cutoff", "units", "age", "length", "category", "department"],
        (pc.field("grain") == grain) & (pc.field("cutoff") == cutoff),
    )
    windows = table.to_pandas().set_index(KEY)
    return windows, wide.loc[windows.index].to_numpy()


def sold(lake: str, grain: str, windows: pd.DataFrame, horizon: int) -> np.ndarray:
    """[N, H]: what was sold in the periods after the cutoff, returns taken off."""
    cutoff, days = windows["cutoff"].iloc[0], period_days(grain)
    last = cutoff + timedelta(days=days * horizon)
    when = (pc.field("event_date") > cutoff) & (pc.field("event_date") <= last)
    columns = ["product_id", "store_id", "event_date", "event_type", "quantity"]
    events: pa.Table = Snapshot(lake, "silver/events").arrow(columns, when)
    frame = events.to_pandas()
    frame = frame[frame["event_type"].isin(["purchase", "return"])]
    if frame.empty or max(frame["event_date"]) < last - timedelta(days=days):
        raise SystemExit(f"lake {lake}: the {horizon} periods after {cutoff} have not arrived")
    if not grain.endswith("_store"):
        frame["store_id"] = "*"
    sign = np.where(frame["event_type"] == "return", -1.0, 1.0)
    place = (pd.to_datetime(frame["event_date"]) - pd.Timestamp(cutoff)).dt.days.sub(1) // days
    frame = frame.assign(units=sign * frame["quantity"], horizon=place)
    totals = frame.groupby([*KEY, "horizon"])["units"].sum().unstack(fill_value=0.0)
    return np.maximum(totals.reindex(windows.index, columns=range(horizon), fill_value=0.0).to_numpy(), 0.0)


def segments(windows: pd.DataFrame, horizon: int) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Name → rows, and what the averages say of them [n, H]; every average uses the past alone."""
    old = np.flatnonzero(windows["length"] > 0)
    units = np.stack(windows["units"].to_list()).astype(np.float64)
    age, category = windows["age"].to_numpy(), windows["category"].fillna("").to_numpy(str)
    history = History(units[old], age[old])
    young = np.flatnonzero(age[old] <= NEWEST)
    ages = np.minimum(age[old], NEWEST)[:, None] + np.arange(1, horizon + 1)
    by_age = mean_by_age(history, horizon, NEWEST)[ages]
    by_category = launch_means(history, category[old], horizon, NEWEST)
    spread = np.repeat((units[:, -13:].sum(1) / np.clip(age, 1, 13))[:, None], horizon, 1)
    silent = np.flatnonzero((gaps(history) >= SILENT) & (age[old] > SILENT))
    category_mean = _category_rate(units[old], category[old], silent, horizon)
    return {
        "launched": (
            old[young],
            {
                "age_mean": by_age[young],
                "category_age_mean": by_category[young],
                "window_average": spread[old[young]],
            },
        ),
        "silent": (old[silent], {"category_mean": category_mean, "window_average": spread[old[silent]]}),
        "new": (np.flatnonzero(windows["length"] == 0), {}),
    }


def _category_rate(units: np.ndarray, category: np.ndarray, silent: np.ndarray, horizon: int) -> np.ndarray:
    """What series of the category that were as silent one horizon earlier sold since, shrunk to all such series."""
    before = units[:, :-horizon]
    was = (before.sum(1) > 0) & (before[:, -SILENT:].sum(1) == 0)
    sold_since = units[:, -horizon:].mean(1)
    overall = sold_since[was].mean() if was.any() else 0.0
    frame = pd.DataFrame({"category": category[was], "sold": sold_since[was]}).groupby("category")["sold"]
    means = (frame.sum() + 10.0 * overall) / (frame.count() + 10.0)
    found = pd.Series(category[silent]).map(means).fillna(overall).to_numpy(np.float64)
    return np.repeat(found[:, None], horizon, 1)


if __name__ == "__main__":
    main()
