"""One Spark session for all tests in this folder; a fresh lake and the default configuration for each test."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ingest_logs import Shop
from pyspark.sql import SparkSession

from shelfcast.config import load
from shelfcast.lake import session
from shelfcast.lake.step import Step
from shelfcast.lake.store import Lake
from shelfcast.settings import Settings

SMALL = (
    "spark.master=local[2]",
    "spark.driver_memory=2g",
    "spark.shuffle_partitions=2",
    "train.launcher=inline",
    "train.ranks=1",
)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = load(sets=SMALL).settings
    warehouse = tmp_path_factory.mktemp("warehouse")
    conf = {
        **settings.spark.conf,
        "spark.sql.warehouse.dir": str(warehouse),
        "spark.default.parallelism": "2",
        "spark.buffer.pageSize": "1m",
        "spark.databricks.delta.snapshotPartitions": "1",
        # Tests run hundreds of queries over a few rows each: compiling them would take most of the time.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # One collector in one thread: what G1 does beside the program takes a quarter of the time on two cores.
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -Dderby.system.home={warehouse}",
    }
    built = session.build(
        settings.model_copy(update={"spark": settings.spark.model_copy(update={"conf": conf})}), "tests"
    )
    yield built
    built.stop()


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Settings]:
    """The default configuration, small, with a lake in this test's folder: ``configured("windows.horizon=2")``."""

    def with_values(*sets: str) -> Settings:
        return load(sets=(*SMALL, *sets), lake=str(tmp_path / "lake")).settings

    return with_values


@pytest.fixture
def settings(configured: Callable[..., Settings]) -> Settings:
    return configured()


@pytest.fixture
def lake(spark: SparkSession, settings: Settings) -> Lake:
    """An empty lake."""
    return Lake(spark, settings.lake)


@pytest.fixture
def step(lake: Lake, settings: Settings) -> Callable[..., Step]:
    """Makes steps on this test's lake: ``step(as_of=date(2017, 11, 26), settings=configured("score.k=3"))``."""
    attempts = iter(range(1, 1_000_000))

    def make(as_of: date | None = None, **given: Any) -> Step:
        given.setdefault("settings", settings)
        given.setdefault("attempt", next(attempts))
        given.setdefault("run_id", f"run-{given['attempt']}")
        given.setdefault("fingerprint", "0" * 32)
        given.setdefault("say", lambda _: None)
        return Step(lake=lake, as_of=as_of, **given)

    return make


@pytest.fixture
def shop(tmp_path: Path, step: Callable[..., Step]) -> Shop:
    """A folder for raw files that are ingested into this test's lake."""
    return Shop(tmp_path / "raw", step)
