"""``shelfcast bench ablation``: what each ingredient of the forecaster is worth, at earlier origins."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.table import Table

from shelfcast.errors import ConfigError
from shelfcast.measured import Measured
from shelfcast.pipeline import Listener
from shelfcast.settings import Forecaster, Settings
from shelfcast.trials import METRICS, Rolling, mean, rolling

SHIPPED = "shipped"
SWITCHES: dict[str, dict[str, Any]] = {
    "without planned promotions": {"planned": []},
    "with mailers only": {"planned": ["mailer"]},
    "without statics": {"embeddings": {}},
    "without the Tweedie head": {"mean_weight": 0.0},
    "without dropout": {"dropout": 0.0},
    "without recency weights": {"recency_half_life": None},
    "one layer": {"layers": 1},
    "one seed": {"seeds": 1},
    "sparse series always": {"sparse_share": 1.0},
    "positions from 5 sales on": {"min_sale_periods": 5},
}
"""Variant → keys of the section forecaster that differ; besides these, every group of inputs is left out once."""


def variants(shipped: Forecaster) -> dict[str, Forecaster]:
    """Name → configuration, the shipped one first; a switch that the shipped one has already is left out."""
    given = shipped.model_dump(mode="json")
    groups = {
        f"without {group}": {"inputs": [each for each in shipped.inputs if each != group]} for group in shipped.inputs
    }
    found = {SHIPPED: shipped}
    for name, changed in (groups | SWITCHES).items():
        variant = Forecaster.model_validate(given | changed)
        if variant not in found.values():
            found[name] = variant
    return found


def ablation(settings: Settings, origins: Sequence[date], listener: Listener, only: Sequence[str] = ()) -> Measured:
    """Train the shipped configuration and each variant at every origin (``tuning.origins`` if none is given).

    Args:
        only: variants to try; all if empty.

    Raises:
        ConfigError: for a variant that does not exist, and as ``trials.rolling`` does.
    """
    tried = variants(settings.forecaster)
    unknown = sorted(set(only) - set(tried))
    if unknown:
        raise ConfigError(f"no variant is called {', '.join(unknown)}; there are: {', '.join(tried)}")
    tried = {name: hyper for name, hyper in tried.items() if not only or name in {SHIPPED, *only}}
    rolled = rolling(settings, list(origins) or list(settings.tuning.origins), listener)
    figures = {name: _scored(rolled, name, hyper, listener) for name, hyper in tried.items()}
    document = _document(figures)
    return Measured([_table(document)], document)


def _scored(rolled: Rolling, name: str, hyper: Forecaster, listener: Listener) -> dict[str, dict[str, Any]]:
    found = {}
    for origin in rolled.origins:
        say = listener.begin(f"ablation, {name}", origin.isoformat())
        found[origin.isoformat()] = rolled.score(hyper, origin, say)
    return found


def _document(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Means over origins, their differences to the shipped configuration, and every figure behind them."""
    means = {
        name: {metric: mean(list(found.values()), metric) for metric in METRICS} for name, found in figures.items()
    }
    others = [one["wape"] for name, one in means.items() if name != SHIPPED]
    return {
        "bench": "ablation",
        "ratio": means[SHIPPED]["wape"] / min(others) if others else None,
        "variants": {
            name: {
                **means[name],
                "difference": {metric: means[name][metric] - means[SHIPPED][metric] for metric in METRICS},
                "origins": dict(found),
            }
            for name, found in figures.items()
        },
    }


def _table(document: Mapping[str, Any]) -> Table:
    """A row per variant, the most harmful switch last."""
    listed = sorted(document["variants"].items(), key=lambda pair: (pair[0] != SHIPPED, pair[1]["wape"]))
    days = list(document["variants"][SHIPPED]["origins"])
    table = Table(title=f"Ablation: means over the origins {', '.join(days)}", caption="Δ: against the shipped one")
    table.add_column("variant", no_wrap=True)
    for head in ("WAPE", "Δ WAPE", "NLL", "Δ NLL", "RMSE", "bias", "seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, one in listed:
        apart, seconds = one["difference"], sum(each["seconds"] for each in one["origins"].values())
        table.add_row(
            name, f"{one['wape']:.4f}", f"{apart['wape']:+.4f}", f"{one['nll']:.4f}", f"{apart['nll']:+.4f}",
            f"{one['rmse']:.3f}", f"{one['bias']:+.3f}", f"{seconds:.0f}", style="bold" if name == SHIPPED else None,
        )  # fmt: skip
    return table
