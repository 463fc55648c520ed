"""Raw log and lake on an S3-compatible server: a week, its replay, a failure, a kill; nothing lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import fs

from shelfcast.lake import overview
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.locks import leases
from shelfcast.lake.paths import filesystem
from shelfcast.lake.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
LAKE, WORLD, RAW = "s3a://shop/lake", "s3a://shop/world", "s3a://shop/raw"
FIRST, SECOND = "2024-03-10", "2024-03-17"  # of twelve weeks the end of the tenth and of the eleventh
SMALL: dict[str, Any] = {
    "spark": {
        "master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 2,
        "conf": {  # a few rows a query: compiling it well would take most of the time
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    },
    "windows": {"context": 30, "horizon": 2},
    "forecaster": {"units": 4, "layers": 1, "dense": 6, "epochs": 1, "seeds": 1, "least_steps": 1},
    "recommender": {
        "units": 8, "members": 1, "dim": 8, "epochs": 1, "label_weeks": 2, "label_windows": 1, "min_item_events": 1,
        "neighbours": 5, "predictors": 0, "peers": 0, "candidates": 10,
    },
    "train": {"launcher": "inline", "ranks": 1},
    "evaluate": {"baselines": ["naive"], "season": 4, "min_sale_weeks": 2},
    "score": {"k": 3},
    "report": {"series": 2, "users": 2},
}  # fmt: skip


class Shop:
    """A bucket in which a world has been generated; what has arrived is copied to the raw log week by week."""

    def __init__(self, conf: Path) -> None:
        self.conf = conf
        self.s3 = boto3.client("s3")

    def keys(self, below: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="shop", Prefix=below)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def arrive(self, until: str) -> None:
        """What arrived up to a day comes to the raw log; files that are there already stay as they are."""
        for key in self.keys("world/"):
            name = key.removeprefix("world/")
            folder, _, week = name.split("/")[0], *name.partition("arrived=")[1:]
            wanted = folder in ("products", "promotions", "stock") or (folder == "events" and week[:10] <= until)
            if wanted and name.endswith(".parquet"):
                self.s3.copy_object(Bucket="shop", Key=f"raw/{name}", CopySource={"Bucket": "shop", "Key": key})

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).parent / "shelfcast"), *arguments, "--conf", str(self.conf), "--json"]

    def run(self, *arguments: str) -> dict[str, Any]:
        done = self.process(*arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def process(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=1200, check=False)

    def killed(self, table: str, *arguments: str) -> None:
        """Kill a command, Java and all, as soon as it has begun to write a table anew."""
        before = self.keys(f"lake/{table}/")
        started = subprocess.Popen(
            self.command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while self.keys(f"lake/{table}/") == before:
                assert started.poll() is None, f"it ended before it had written {table}"
                time.sleep(0.02)
        finally:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()

    def versions(self) -> dict[str, int]:
        """Every table's version, each with an unbroken log of commits."""
        found = {entry["table"]: entry["version"] for entry in overview.tables(LAKE)}
        for table, version in found.items():
            log = f"lake/{table}/_delta_log/"
            commits = [key for key in self.keys(log) if key.endswith(".json") and key.removeprefix(log)[:20].isdigit()]
            assert commits == [f"{log}{number:020}.json" for number in range(version + 1)], table
        return found

    def events(self) -> "Counter[str]":
        """How often each event is in silver, by its id."""
        return Counter(Snapshot(LAKE, "silver/events").arrow(["event_id"])["event_id"].to_pylist())


@pytest.fixture
def shop(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    subprocess.run([sys.executable, ROOT / "scripts" / "fetch_jars.py", "s3a"], check=True)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    source = {"sources": {"generated": {"extends": "generated", "root": RAW}}, "lake": LAKE}
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(SMALL | source))
    made = Shop(conf)
    made.s3.create_bucket(Bucket="shop")
    return made


def counts(document: dict[str, Any], step: str = "ingest") -> dict[str, dict[str, int]]:
    (ran,) = [one for one in document["steps"] if one["step"] == step]
    return {entry["input"]: entry for entry in ran["counts"]["inputs"]}


def rows(store: fs.FileSystem, key: str) -> int:
    return int(pq.read_metadata(f"shop/{key}", filesystem=store).num_rows)


def whole(document: dict[str, Any]) -> None:
    """Every active series has every horizon, every user as many different products as places."""
    forecasts = document["figures"]["gold/forecasts"]
    assert forecasts["series"] == forecasts["active_series"] > 0
    assert (forecasts["horizons_min"], forecasts["horizons_max"], forecasts["quantiles_crossed"]) == (2, 2, 0)
    lists = document["figures"]["gold/recommendations"]
    assert lists["users"] > 0
    assert (lists["products_distinct_min"], lists["products_distinct_max"]) == (3, 3)
    assert lists["repeated_products"] == 0


@pytest.mark.slow
def test_runs_on_an_object_store_lose_nothing_and_double_nothing(shop: Shop) -> None:
    small = ("--events", "2000", "--users", "40", "--products", "12", "--stores", "2", "--weeks", "12")
    planted = shop.run("generate", *small, "--out", WORLD)
    store, _ = filesystem(RAW)

    # a week
    shop.arrive(FIRST)
    first = shop.run("weekly", "--as-of", FIRST)

    whole(first)
    events = counts(first)["events"]
    assert events["read"] == sum(rows(store, key) for key in shop.keys("raw/events/"))
    assert events["read"] == events["silver"] + events["quarantined"] + events["duplicates"]
    stored = shop.events()
    assert stored.total() == len(stored) == events["silver"]
    versions, published = shop.versions(), Ledger(LAKE).published()
    assert published.keys() == {"gold/forecasts", "gold/totals", "gold/recommendations"}
    assert any(key.startswith("lake/models/forecaster/") for key in shop.keys("lake/models/"))
    assert f"lake/reports/{FIRST}.html" in shop.keys("lake/reports/")

    # the same week again
    before = shop.keys("lake/")
    again = shop.run("weekly", "--as-of", FIRST)

    assert {one["status"] for one in again["steps"]} == {"skipped"}
    assert shop.keys("lake/") == before

    # more logs, of which one is damaged
    shop.arrive("2024-12-31")
    shop.s3.put_object(Bucket="shop", Key="raw/events/arrived=2024-03-25/torn.parquet", Body=b"PAR1 and no more")
    failed = shop.process("weekly", "--as-of", SECOND)

    assert failed.returncode == 1
    assert "torn.parquet is no whole Parquet file" in failed.stderr
    now = shop.versions()
    assert {table for table, version in now.items() if version != versions[table]} == {"ops/runs", "ops/locks"}
    assert leases(LAKE) == []
    assert Ledger(LAKE).published() == published
    shop.s3.delete_object(Bucket="shop", Key="raw/events/arrived=2024-03-25/torn.parquet")

    # killed while it writes, then run once more
    shop.killed("silver/events", "ingest")
    assert Ledger(LAKE).published() == published
    shop.run("ingest")

    stored = shop.events()
    assert stored.total() == len(stored) == planted["good"]
    refused = Snapshot(LAKE, "silver/quarantine").arrow(["file", "position"])
    assert refused.num_rows == refused.group_by(["file", "position"]).aggregate([]).num_rows == planted["quarantined"]
    raw = Snapshot(LAKE, "bronze/generated/events").arrow(["_file", "_position"])
    assert raw.num_rows == raw.group_by(["_file", "_position"]).aggregate([]).num_rows == planted["records"]
    assert planted["records"] - planted["good"] - planted["quarantined"] == planted["duplicates"]
    later = shop.versions()
    assert later["silver/events"] > versions["silver/events"]
    assert Ledger(LAKE).published() == published
    for table, version in published.items():
        assert Snapshot(LAKE, table, version).count(pc.field("as_of") == date.fromisoformat(FIRST)) > 0, table
    assert [record.status for record in Ledger(LAKE).records() if record.step == "ingest"] == [
        "done", "failed", "running", "done",
    ]  # fmt: skip
