"""The whole features step on a log of six weeks: no look-ahead, replays, two grains, missing sides, clear errors."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from features_frames import event, frame, plan
from pyspark.sql import Row

from shelfcast.errors import TableMissing
from shelfcast.features.run import run
from shelfcast.lake.step import Outcome, Step
from shelfcast.lake.store import Lake
from shelfcast.stages import FEATURES

MONDAY = date(2024, 1, 1)
AS_OF = date(2024, 2, 11)
GOLD = ("gold/covariates", "gold/demand", "gold/series", "gold/windows", "gold/interactions")
SMALL = (
    "windows.context=30",
    "windows.horizon=2",
    "windows.stride=3",
    "demand.grains=[week.product,week.product_store]",
)


def day(week: int, weekday: int = 0) -> date:
    return MONDAY + timedelta(days=7 * week + weekday)


LOG = [
    event(day(0) - timedelta(days=1), "a", 50.0),
    *[event(day(week, 2), "a", 1.0 + week, store_id="st"[week % 2]) for week in range(6)],
    event(day(4, 6), "b", 2.0, user_id="v"),
]
PLANS = [plan("a", "s", day(week), mailer="A") for week in range(2, 8)] + [plan("b", "t", day(3), display="1")]
PRODUCTS = [{"product_id": "a", "brand": "own"}, {"product_id": "b", "brand": "other"}]


class World:
    """A lake whose silver is rewritten and whose features run again, remembering content ids as the ledger does."""

    def __init__(self, lake: Lake, step: Callable[..., Step], settings: Any) -> None:
        self.lake, self.step, self.settings = lake, step, settings
        self.stored: dict[str, dict[str, str]] = {}
        self.attempt = 0

    def put(self, table: str, rows: list[dict[str, Any]], mark: str = "one") -> None:
        self.attempt += 1
        made = frame(self.lake.spark, table, rows).coalesce(1)
        self.lake.replace(table, made, slices=None, attempt=self.attempt, run_id=mark)
        weeks = {str(row["week_start"]) for row in rows if "week_start" in row}
        for key in weeks or {"*"}:
            ids = sorted(
                str(sorted(row.items(), key=str)) for row in rows if not weeks or str(row["week_start"]) == key
            )
            self.stored.setdefault(table, {})[key] = f"{mark} {ids}"

    def run(self, as_of: date = AS_OF) -> Outcome:
        outcome = run(self.step(as_of, settings=self.settings, stored=self.stored))
        for table, contents in outcome.contents.items():
            self.stored.setdefault(table, {}).update(contents)
        return outcome

    def gold(self, table: str) -> list[Row]:
        return sorted(self.lake.read(table).collect(), key=str)

    def versions(self) -> dict[str, int]:
        return {table: self.lake.version(table) for table in GOLD}


@pytest.fixture
def world(lake: Lake, step: Callable[..., Step], configured: Callable[..., Any]) -> World:
    made = World(lake, step, configured(*SMALL))
    made.put("silver/events", LOG)
    return made


def test_a_run_fills_gold_and_a_replay_changes_nothing_and_the_future_stays_unseen(world: World) -> None:
    world.put("silver/promotions", PLANS)
    world.put("silver/products", PRODUCTS)
    first = world.run()
    assert set(first.contents) < set(FEATURES.writes)
    assert first.counts["missing"] == ["silver/stock"]
    assert "gold/launches" not in first.contents  # six weeks are too short to have seen one
    assert first.counts["cutoffs"] == {"week.product": "2024-02-11", "week.product_store": "2024-02-11"}
    gold = {table: world.gold(table) for table in GOLD}
    weekly = [row for row in gold["gold/demand"] if row.grain == "week.product"]
    assert sorted((row.product_id, row.period_start, row.units) for row in weekly) == [
        *[("a", day(week), 1.0 + week) for week in range(6)],
        ("b", day(4), 2.0),
    ]
    windows = [row for row in gold["gold/windows"] if row.grain == "week.product" and row.cutoff == AS_OF]
    assert [(row.product_id, row.length, row.brand, row.units[-6:]) for row in windows] == [
        ("a", 6, "own", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("b", 2, "other", [0.0, 0.0, 0.0, 0.0, 2.0, 0.0]),
    ]
    week_three = 51 / 53  # of what the two stores with plans had sold by then
    assert windows[0].mailer[-8:] == pytest.approx([0.0, 0.0, 1.0, week_three, 1.0, 1.0, 1.0, 1.0], abs=1e-6)
    assert {row.cutoff for row in gold["gold/windows"]} == {AS_OF, AS_OF - timedelta(weeks=3)}
    assert sum(len(row["items"]) for row in gold["gold/interactions"]) == len(LOG)

    before = world.versions()
    again = world.run()
    assert {name: slices["built"] for name, slices in again.counts["slices"].items()} == dict.fromkeys(GOLD, 0)
    assert again.rows_out == 0
    assert world.versions() == before

    planted = [event(AS_OF + timedelta(days=1), "a", 77.0), event(AS_OF + timedelta(days=9), "new", 5.0)]
    late = plan("b", "s", day(6), mailer="A", known_from=AS_OF + timedelta(days=1))
    world.put("silver/events", LOG + planted)
    world.put("silver/promotions", [*PLANS, late])
    world.stored = {name: ids for name, ids in world.stored.items() if name.startswith("silver")}
    world.run()
    assert {table: world.gold(table) for table in GOLD} == gold

    after = world.run(AS_OF + timedelta(weeks=1))
    built = {name: slices["built"] for name, slices in after.counts["slices"].items()}
    assert built == {
        "gold/covariates": 1, "gold/demand": 1, "gold/series": 1, "gold/windows": 3, "gold/interactions": 1,
    }  # fmt: skip
    earlier = [row for row in world.gold("gold/windows") if row.cutoff == AS_OF]
    assert earlier == [row for row in gold["gold/windows"] if row.cutoff == AS_OF]


def test_a_log_alone_is_enough_and_only_a_changed_week_is_built_again(world: World) -> None:
    first = world.run()
    assert first.counts["missing"] == ["silver/products", "silver/promotions", "silver/stock"]
    assert "gold/covariates" not in first.contents
    demand = world.gold("gold/demand")
    assert {row.display_share for row in demand} == {None}
    world.put("silver/events", [*LOG, event(day(1, 3), "b", 4.0, user_id="late")])
    second = world.run()
    assert second.counts["slices"]["gold/demand"] == {"built": 1, "kept": 5}
    assert second.counts["slices"]["gold/interactions"]["built"] == 1
    changed = [row for row in world.gold("gold/demand") if row not in demand]
    assert {(row.product_id, row.period_start, row.units) for row in changed} == {("b", day(1), 4.0)}


def test_a_log_without_a_complete_week_and_an_empty_one_say_so(world: World) -> None:
    with pytest.raises(TableMissing, match=r"no period of grain week\.product lies wholly between"):
        world.run(MONDAY + timedelta(days=5))
    with pytest.raises(TableMissing, match="holds no event up to 2023-06-01"):
        world.run(date(2023, 6, 1))
