"""A backtest of ranked lists as tables for people: accuracy by model and origin, spread, accuracy by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from rich.table import Table

from shelfcast.evaluate.list_metrics import COMPARED, MODEL, NOVEL_LISTS, ours
from shelfcast.evaluate.list_sums import METRICS
from shelfcast.evaluate.purchases import ALL, NOVEL, THIRDS
from shelfcast.evaluate.tables import columns, interval, mean, number

if TYPE_CHECKING:
    from shelfcast.evaluate.recommender_summary import Origin


def tables(origins: Mapping[date, Origin]) -> list[Table]:
    """All of them."""
    return [_accuracy(origins, novel=False), _accuracy(origins, novel=True), _spread(origins), _segments(origins)]


def _names(origins: Mapping[date, Origin], *, novel: bool) -> list[str]:
    return list(dict.fromkeys(name for origin in origins.values() for name in origin.models(novel=novel)))


def _days(origins: Mapping[date, Origin]) -> list[str]:
    return [*(day.isoformat() for day in origins), "mean"]


def _accuracy(origins: Mapping[date, Origin], *, novel: bool) -> Table:
    """A row per model; a star marks the best of the others by recall; then differences to it."""
    k, segment, mine = _k(origins), NOVEL if novel else ALL, MODEL + (NOVEL_LISTS if novel else "")
    what = "New products only" if novel else "All products"
    table = columns(Table(title=f"{what}: recall@{k} · NDCG@{k} · MRR@{k}"), "model", _days(origins))
    every = list(origins.values())
    for name in _names(origins, novel=novel):
        stars = [" *" if name == origin.best("recall", segment, mine) else "" for origin in every]
        cells = [_cell([origin], name, segment) + star for origin, star in zip(every, stars, strict=True)]
        table.add_row(name, *cells, _cell(every, name, segment), style="bold" if ours(name) else None)
    table.add_section()
    for metric in COMPARED:
        if any(origin.best(metric, segment, mine) for origin in every):
            apart = [origin.difference(metric, segment, mine) for origin in every]
            middle = mean(difference[0] for difference in apart)
            table.add_row(
                f"{metric} − best, 95 %", *[interval(difference) for difference in apart], number(middle, "+.4f")
            )
    return table


def _k(origins: Mapping[date, Origin]) -> int:
    return next(iter(origins.values())).k


def _cell(origins: Sequence[Origin], name: str, segment: str) -> str:
    found = (mean(origin.value(name, metric, segment) for origin in origins) for metric in METRICS)
    return " · ".join(number(value, ".4f") for value in found)


def _spread(origins: Mapping[date, Origin]) -> Table:
    table = columns(
        Table(title="Share of the products on sale in any list · novelty of a list in bits"), "model", _days(origins)
    )
    every = list(origins.values())
    for name in _names(origins, novel=False):
        cells = [
            f"{number(mean(o.value(name, 'coverage') for o in part), '.4f')} · "
            f"{number(mean(o.value(name, 'novelty') for o in part), '.2f')}"
            for part in (*([origin] for origin in every), every)
        ]
        table.add_row(name, *cells, style="bold" if name == MODEL else None)
    return table


def _segments(origins: Mapping[date, Origin]) -> Table:
    """Means over origins; the interval is the lowest lower end of any origin's."""
    heads = ["users", "recall", "best of the others", "better by", "95 %, at least", "NDCG", "best of the others"]
    title = "By history of the user and popularity of the target, mean over origins"
    table = columns(Table(title=title), "segment", heads)
    every = list(origins.values())
    for segment in dict.fromkeys(part for origin in every for part in sorted(origin.segments(), key=_order)):
        if segment in {ALL, NOVEL}:
            continue
        found = [mean(o.value(MODEL, metric, segment) for o in every) for metric in COMPARED]
        best = [mean(o.value(o.best(metric, segment), metric, segment) for o in every) for metric in COMPARED]
        better = found[0] / best[0] - 1 if found[0] is not None and best[0] else None
        lows = [low for o in every if (low := o.difference("recall", segment)[1]) is not None]
        table.add_row(
            segment, number(mean(o.users(segment) for o in every), ",.0f"), number(found[0], ".4f"),
            number(best[0], ".4f"), number(better, "+.1%"), number(min(lows, default=None), "+.4f"),
            number(found[1], ".4f"), number(best[1], ".4f"),
        )  # fmt: skip
    return table


def _order(segment: str) -> tuple[str, int]:
    """history=1-9 before history=10-49, head before torso before tail."""
    dimension, _, value = segment.partition("=")
    least = value.partition("-")[0].rstrip("+")
    return dimension, int(least) if least.isdigit() else THIRDS.index(value) if value in THIRDS else 0
