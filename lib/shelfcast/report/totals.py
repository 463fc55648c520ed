"""What the chain and its largest categories are forecast to sell and take, from gold/totals."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow.compute as pc

from shelfcast.report.demand import Frame
from shelfcast.report.reader import Reader

CATEGORIES = 10
_MONEY = ("revenue", "revenue_q10", "revenue_q90")
_VALUES = ("units", "q10", "q50", "q90", *_MONEY)


@dataclass(frozen=True)
class Total:
    """Units and revenue of the chain in one period, or of a category over all; revenue is None without prices."""

    start: date
    name: str
    units: float
    q10: float
    q50: float
    q90: float
    revenue: float | None
    revenue_q10: float | None
    revenue_q90: float | None


@dataclass(frozen=True)
class Totals:
    """``chain``: one entry a period, in order; ``categories``: the largest ones over all periods, largest first."""

    chain: list[Total]
    categories: list[Total]

    @property
    def priced(self) -> bool:
        return any(one.revenue for one in self.chain)


def totals(reader: Reader, at: Frame) -> Totals:
    """Both are empty where no totals have been made."""
    period = pc.field("period") == at.grain.partition(".")[0]
    here = (pc.field("as_of") == at.as_of) & period
    single = ~pc.field("cumulative")
    columns = ["target_start", "category", *_VALUES]
    chain = reader.rows("gold/totals", columns, here & (pc.field("level") == "chain") & single)
    last = here & (pc.field("level") == "category") & (pc.field("horizon") == len(at.targets)) & pc.field("cumulative")
    largest = reader.top("gold/totals", columns, "units", CATEGORIES, last)
    by_date = sorted(chain.to_pylist(), key=lambda row: row["target_start"])
    return Totals([_total(row) for row in by_date], [_total(row) for row in largest.to_pylist()])


def _total(row: dict[str, Any]) -> Total:
    return Total(row["target_start"], row["category"] or "without a category", **{name: row[name] for name in _VALUES})
