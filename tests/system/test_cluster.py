"""Separate processes of a standalone cluster give what the embedded run gives, also when one of them is killed.

``scripts/cluster-demo`` is the larger form: the whole main job with the packed environment.
"""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import lakes_compared
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from standalone import Cluster, kill

from shelfcast.lake.ledger import Ledger

AS_OF = "2024-08-25"
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SETTINGS = {
    "identity_key": "env:SHOP_KEY",
    "windows": {"context": 30, "horizon": 2},
    "forecaster": {"units": 4, "layers": 1, "dense": 4, "epochs": 1, "least_steps": 2, "batch": 16, "seeds": 1},
    "train": {"launcher": "spark", "ranks": 2, "threads": 1, "timeout_minutes": 10},
    "spark": {
        "driver_memory": "1g",
        "shuffle_partitions": 2,
        "conf": {
            "spark.executor.memory": "1g",
            "spark.driver.extraJavaOptions": QUICK,
            "spark.executor.extraJavaOptions": QUICK,
            # Compiling a query takes longer than running it over a few rows.
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.buffer.pageSize": "1m",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    },
}
SHOP = """
    time_zone: UTC
    inputs:
      lines:
        files: ["*.parquet"]
        format: parquet
        fills: events
        columns: {event_time: at, event_type: "'purchase'", user_id: who, product_id: what, order_id: receipt,
                  quantity: pieces, unit_price: price}
        identities: {who: hash}
"""
STEPS = """
import sys
from datetime import date
from pathlib import Path

from shelfcast import stages
from shelfcast.config import load
from shelfcast.pipeline import Pipeline


class Told:
    def begin(self, step, slice_):
        print(step, "started", flush=True)
        return lambda line: print(f"{step}: {line}", flush=True)

    def end(self, done):
        print(done.record.step, "done", flush=True)


conf, lake, as_of, *names = sys.argv[1:]
pipeline = Pipeline(load([Path(conf)], lake=lake).settings, Told(), force=True)
for name in names:
    pipeline.run(getattr(stages, name), None if name == "INGEST" else date.fromisoformat(as_of))
"""
FAILING = """
import sys
from pathlib import Path

from shelfcast.config import load
from shelfcast.errors import TrainingError
from shelfcast.lake import session
from shelfcast.train.forecaster import ENTRY
from shelfcast.train.launch import launch

settings = load([Path(sys.argv[1])]).settings
try:
    launch(ENTRY, {"no": "payload"}, settings.train, folder=Path("ranks").resolve(), spark=session.build(settings))
except TrainingError as error:
    print("told:", str(error).splitlines()[0], flush=True)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), memory="2g", java=QUICK) as running:
        yield running


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Logs of 36 weeks with a repeated file's worth of duplicates, and a configuration to run them with."""
    monkeypatch.setenv("SHOP_KEY", "a key of the test")
    draws, rows = np.random.default_rng(3), 2400
    minutes = np.sort(draws.integers(0, 36 * 7 * 24 * 60, rows))
    lines = pa.table({
        "at": [datetime(2024, 1, 1) + timedelta(minutes=int(minute)) for minute in minutes],  # noqa: DTZ001
        "who": [f"u{user}" for user in draws.zipf(1.6, rows) % 40],
        "what": [f"p{product}" for product in draws.zipf(1.5, rows) % 16],
        "receipt": [f"r{row}" for row in range(rows)],
        "pieces": draws.integers(0, 4, rows),  # of nothing: refused
        "price": draws.uniform(1, 9, rows).round(2),
    })  # fmt: skip
    logs = tmp_path / "logs"
    logs.mkdir()
    for number, start in enumerate((0, 700, 1500)):
        pq.write_table(lines.slice(start, 900), logs / f"{number}.parquet")  # some rows are in two files
    made = tmp_path / "shop.yaml"
    made.write_text(yaml.safe_dump(SETTINGS | {"sources": {"shop": {"root": str(logs)} | yaml.safe_load(SHOP)}}))
    return made


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.py"
    path.write_text(text)
    return path


def submitted(cluster: Cluster, job: Path, *options: str, seen: Callable[[str], None] = str) -> list[str]:
    """What the driver printed; it must have ended well."""
    log = job.with_suffix(".log")
    process = cluster.submit(job, options, archive=None, python=sys.executable, log=log)
    told = []
    try:
        for line in process.stdout or ():
            told.append(line.rstrip())
            seen(told[-1])
        assert process.wait() == 0, "\n".join([*told, *log.read_text().splitlines()[-40:]])
    finally:
        kill(process.pid)
    return told


def ranks_below(cluster: Cluster, worker: str) -> int:
    found = 0
    for executor in cluster.executors(worker):
        for process in executor.children(recursive=True):
            try:
                found += "horovod.spark.task.gloo_exec_fn" in process.cmdline()[:3]
            except psutil.NoSuchProcess:
                continue
    return found


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_while_cleaning_gives_the_tables_of_the_embedded_run(cluster, conf, tmp_path):
    lake, embedded, workers = tmp_path / "lake", tmp_path / "embedded", ["worker-2"]
    most_ranks = dict.fromkeys(("worker-2", "worker-3"), 0)

    def watch() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and not all(most_ranks.values()):
            for name in most_ranks:
                most_ranks[name] = max(most_ranks[name], ranks_below(cluster, name))
            time.sleep(0.1)

    def act(line: str) -> None:
        if line.startswith("ingest: bronze/") and len(workers) == 1:
            assert cluster.kill_worker("worker-1") == 1
            workers.append(cluster.start_worker())
        if line == "train forecaster started":
            threading.Thread(target=watch, daemon=True).start()

    job = script(tmp_path, STEPS)
    steps = ("INGEST", "FEATURES", "TRAIN_FORECASTER", "SCORE_FORECASTS")
    told = submitted(cluster, job, str(conf), str(lake), AS_OF, *steps, seen=act)

    copy = shutil.copytree(lake, tmp_path / "rescored")
    for place, names in ((embedded, steps[:2]), (copy, steps[3:])):
        command = [sys.executable, str(job), str(conf), str(place), AS_OF, *names]
        subprocess.run(command, check=True, capture_output=True)

    assert workers == ["worker-2", "worker-3"]
    assert most_ranks == {"worker-2": 1, "worker-3": 1}
    assert any("fitting member 1 of 1, epoch" in line for line in told)  # rank 0's own words, from its executor
    compared = list(lakes_compared.exactly(str(embedded), str(lake)))
    assert {"silver/events", "silver/quarantine", "gold/demand", "gold/windows"} <= {one.what for one in compared}
    assert [one for one in compared if one.differs or not one.rows] == []
    forecasts = next(lakes_compared.scores(str(lake), str(copy)))
    assert (forecasts.what, forecasts.differs, forecasts.rows > 0) == ("gold/forecasts", "", True)
    versions = [record.counts.get("model_version") for record in Ledger(str(copy)).records()]
    assert len({*versions} - {None}) == 1


@pytest.mark.slow
def test_what_a_rank_on_an_executor_failed_of_is_told_by_the_driver(cluster, conf, tmp_path):
    told = submitted(cluster, script(tmp_path, FAILING), str(conf))

    assert any(re.match("told: training failed on Spark.* rank [01]: KeyError: 'lake'", line) for line in told), told
