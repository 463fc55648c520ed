"""Generated logs: the same for the same seed, with exactly what the ledger says, which cleaning finds again."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from shelfcast.config import load
from shelfcast.errors import ConfigError
from shelfcast.generate import catalogue, events
from shelfcast.generate.draws import among, uniform, zipf
from shelfcast.generate.world import World
from shelfcast.generate.write import write
from shelfcast.ingest.run import run
from shelfcast.lake.step import Step
from shelfcast.lake.store import Lake

SMALL = World(events=6_000, users=300, products=60, seed=7, weeks=8, stores=4)


def _ingested(spark: SparkSession, log: Path, lake: Path) -> tuple[Step, dict[str, int]]:
    """The step after one ingest, and what became of the events."""
    settings = load([log / "source.yaml"], ["spark.shuffle_partitions=2"], str(lake)).settings
    step = Step(Lake(spark, settings.lake), settings, None, run_id="r", attempt=1, say=lambda _: None)
    (counts,) = (one for one in run(step).counts["inputs"] if one["table"] == "silver/events")
    return step, counts


@pytest.mark.slow
def test_cleaning_finds_what_the_ledger_says(spark: SparkSession, tmp_path: Path) -> None:
    ledger = write(spark, SMALL, str(tmp_path / "log"), "csv", lambda _: None)

    step, counts = _ingested(spark, tmp_path / "log", tmp_path / "lake")

    assert json.loads((tmp_path / "log" / "ledger.json").read_text()) == json.loads(json.dumps(ledger))
    found = {name: counts[name] for name in ("read", "silver", "quarantined", "duplicates", "superseded")}
    assert found == {
        "read": ledger["records"],
        "silver": SMALL.events,
        "quarantined": ledger["quarantined"],
        "duplicates": ledger["duplicates"],
        "superseded": 0,
    }
    assert counts["rules"] == ledger["refused"]
    assert set(ledger["planted"]) == {*events.ALTERED, *events.ADDED, "bot"}
    nameless = step.read("silver/events").where("user_id IS NULL").count()
    assert nameless == ledger["planted"]["nameless"] > 0


def test_a_seed_makes_one_log_however_it_is_cut_into_tasks(spark: SparkSession) -> None:
    def contents(world: World) -> Counter[str]:
        good = events.good(catalogue.product_weeks(spark, world), world)
        rows = good.unionByName(events.added(good, world)).select(F.to_json(F.struct("*")).alias("row"))
        return Counter(row["row"] for row in rows.collect())

    one = contents(SMALL)
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        again = contents(SMALL)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)

    assert one == again
    assert contents(replace(SMALL, seed=8)) != one


def test_every_event_is_some_weeks_and_one_product_can_have_a_share_of_all(spark: SparkSession) -> None:
    world = replace(SMALL, hot_product=0.25)

    weeks = catalogue.product_weeks(spark, world).groupBy((F.col("number") == 0).alias("hot")).agg(F.sum("events"))

    events_of = {row["hot"]: row["sum(events)"] for row in weeks.collect()}
    assert sum(events_of.values()) == world.events
    assert events_of[True] == pytest.approx(0.25 * world.events, abs=world.weeks)


def test_nothing_is_sold_before_its_launch_or_out_of_stock(spark: SparkSession) -> None:
    weeks = catalogue.product_weeks(spark, replace(SMALL, products=600, events=60_000))

    nothing = weeks.where("week < launch OR out")

    assert nothing.count() > 100
    assert nothing.where("events > 0").count() == 0


def test_loyal_users_come_again_after_the_cycle_of_the_product(spark: SparkSession) -> None:
    weeks = catalogue.product_weeks(spark, SMALL)
    cycles = weeks.select("item", "cycle").distinct()
    taken = events.good(weeks, SMALL).where("customer IS NOT NULL").select("item", "customer", "week").distinct()
    later = taken.select("item", "customer", F.col("week").alias("then"))

    pairs = taken.join(cycles, "item").join(later, ["item", "customer"]).where("then > week AND then - week <= 8")
    on_time = pairs.agg(F.avg((F.col("then") - F.col("week") == F.col("cycle")).cast("double"))).collect()[0][0]

    assert on_time > 0.3, "an eighth would be chance"


@pytest.mark.slow
def test_the_effects_of_display_mailer_and_price_are_in_the_log(spark: SparkSession) -> None:
    world = replace(SMALL, events=200_000, products=80, weeks=40)
    rows = catalogue.product_weeks(spark, world).where("events > 0").toPandas()

    shift = np.log(rows["events"]) - np.log(rows["events"]).groupby(rows["item"]).transform("mean")
    plans = np.stack(
        [np.log1p(rows["display"] * (world.effects.display - 1)), rows["mailer"], -np.log1p(-rows["depth"])]
    )
    own = plans - np.stack([rows.assign(x=one).groupby("item")["x"].transform("mean") for one in plans])
    season = [np.sin(2 * np.pi * rows["week"] / 52), np.cos(2 * np.pi * rows["week"] / 52)]
    by_category = [one * (rows["category"] == name) for name in rows["category"].unique() for one in season]
    found = np.linalg.lstsq(np.stack([*own, *by_category], axis=1).astype(float), shift, rcond=None)[0][:3]

    assert found[0] == pytest.approx(1.0, abs=0.1), "display, as a share of its true logarithm"
    assert np.exp(found[1]) == pytest.approx(world.effects.mailer, abs=0.1)
    assert found[2] == pytest.approx(world.effects.elasticity, abs=0.2)


def test_draws_are_uniform_and_ranks_follow_zipfs_law(spark: SparkSession) -> None:
    frame = spark.range(20_000).select(uniform(1, "x", F.col("id")).alias("u"), uniform(2, "x", F.col("id")).alias("v"))
    drawn = frame.select(
        "*", zipf(F.col("u"), 1000, 0.5).alias("rank"), among(F.col("v"), {"a": 0.7, "b": 0.3}).alias("n")
    )
    got = drawn.toPandas()

    assert np.histogram(got["u"], 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    assert abs(np.corrcoef(got["u"], got["v"])[0, 1]) < 0.03
    assert got["rank"].min() == 0
    assert got["rank"].max() <= 999
    expected = np.cumsum(np.arange(1, 1001) ** -0.5) / np.sum(np.arange(1, 1001) ** -0.5)
    assert (got["rank"] < 100).mean() == pytest.approx(expected[99], abs=0.03)
    assert (got["n"] == "a").mean() == pytest.approx(0.7, abs=0.02)


def test_a_folder_with_something_in_it_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")

    with pytest.raises(ConfigError, match="holds something already"):
        write(spark, SMALL, str(tmp_path), "parquet", lambda _: None)

    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"start": datetime(2024, 1, 3, tzinfo=UTC).date()}, "no Monday; write 2024-01-01"),
        ({"weeks": 0}, "weeks is 0"),
        ({"hot_product": 1.0}, "hot_product is 1.0"),
    ],
)
def test_a_world_that_cannot_be_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(SMALL, **changed)
