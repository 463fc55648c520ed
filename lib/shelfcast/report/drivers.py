"""What drove the forecasts: shares of history, price, promotion, calendar and statics, as scoring stored them."""

from collections.abc import Mapping
from dataclasses import dataclass

from shelfcast.report.accuracy import FORECASTER, Metrics

KINDS = {"": "all series", ", promoted=yes": "promoted in the periods ahead", ", promoted=no": "not promoted"}
_METRIC, _GROUP = "contribution", "group="


@dataclass(frozen=True)
class Drivers:
    """groups: the largest first; kinds: which series → share of each group, in that order."""

    groups: list[str]
    kinds: Mapping[str, list[float]]


def drivers(metrics: Metrics) -> Drivers | None:
    """None where the forecasts were not explained."""
    every = {
        segment.removeprefix(_GROUP): value
        for (model, name, segment), value in metrics.values.items()
        if (model, name) == (FORECASTER, _METRIC) and segment.startswith(_GROUP) and "," not in segment
    }
    groups = sorted(every, key=lambda group: (-every[group], group))
    kinds = {}
    for ending, said in KINDS.items():
        found = [metrics.value(FORECASTER, _METRIC, f"{_GROUP}{group}{ending}") for group in groups]
        known = [value for value in found if value is not None]
        if known and len(known) == len(groups):
            kinds[said] = known
    return Drivers(groups, kinds) if kinds else None
