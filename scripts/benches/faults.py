"""A weekly run is struck at every write, in seeded sequences of faults, and by SIGKILL; each lake equals an intact one.

In one JVM: every crash point once, then ``--sequences`` of one to three faults (crashes, failed writes, a full disk,
clocks that jump) inside one step. As processes: ``--kills`` runs of the command, killed with all their children after a
random time, and run again. ``--workers`` more lose one of Spark's Python workers. The lake is a tiny one; its models
were trained before, so that scores are compared row by row. The bench fails if any lake differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import lakes_compared  # noqa: E402
import psutil  # noqa: E402
import yaml  # noqa: E402
from faults import KINDS, Harness, Strike, published  # noqa: E402

from shelfcast.config import load  # noqa: E402
from shelfcast.generate.world import START  # noqa: E402
from shelfcast.lake import session  # noqa: E402
from shelfcast.lake.locks import leases  # noqa: E402

COMMAND = Path(sys.executable).with_name("shelfcast")
QUICK = {
    "spark": {
        "master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 2,
        "conf": {  # a few rows a query: compiling it well would take most of the time
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.databricks.delta.snapshotPartitions": "1", "spark.buffer.pageSize": "1m",
        },
    },
    "identity_key": "env:SHELFCAST_FAULTS_KEY",
    "windows": {"context": 30, "horizon": 2},
    "forecaster": {"units": 4, "layers": 1, "dense": 6, "epochs": 1, "seeds": 1, "least_steps": 1},
    "recommender": {
        "units": 8, "members": 1, "dim": 8, "epochs": 1, "label_weeks": 2, "label_windows": 1, "min_item_events": 1,
        "neighbours": 5, "predictors": 0, "peers": 0, "candidates": 10,
    },
    "train": {"launcher": "inline", "ranks": 1},
    "evaluate": {"baselines": ["naive"], "season": 4, "min_sale_weeks": 2},
    "schedule": {"train_every_weeks": None},
    "score": {"k": 3},
    "report": {"series": 2, "users": 2},
}  # fmt: skip
WEEKS = 12
FIRST, SECOND = (START + timedelta(weeks=week, days=-1) for week in (WEEKS - 2, WEEKS - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--points", type=int, help="only so many crash points, drawn by the seed; default: all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ["SHELFCAST_FAULTS_KEY"] = "no secret"
    wrong: list[str] = []
    struck: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        conf = prepared(folder)
        killed(conf, folder, given, struck, wrong)
        in_one_process(conf, folder, given, struck, wrong)
    for kind, number in sorted(struck.items()):
        print(f"{kind}: {number} times")
    print(
        json.dumps(
            {"bench": "faults", "ratio": 1 - len(wrong) / max(struck.total(), 1), "struck": struck, "wrong": wrong}
        )
    )
    if wrong:
        raise SystemExit(f"{len(wrong)} lakes differ from the undisturbed one")


def prepared(folder: Path) -> Path:
    """A lake with one week's run, and the files of the next week beside it."""
    small = ("--events", "2000", "--users", "40", "--products", "12", "--stores", "2", "--weeks", str(WEEKS))
    world, raw, conf = folder / "world", folder / "raw", folder / "conf.yaml"
    shelfcast("generate", *small, "--out", str(world))
    source = {"sources": {"generated": {"extends": "generated", "root": str(raw)}}, "lake": str(folder / "lake")}
    conf.write_text(yaml.safe_dump(QUICK | source))
    for path in sorted(world.rglob("*.parquet")):
        if path.relative_to(world).parts[0] != "events" or path.parent.name.partition("=")[2] <= str(FIRST):
            arrive(path, world, raw)
    shelfcast("weekly", "--as-of", str(FIRST), "--conf", str(conf))
    for path in sorted(world.rglob("*.parquet")):
        arrive(path, world, raw)
    return conf


def arrive(path: Path, world: Path, raw: Path) -> None:
    target = raw / path.relative_to(world)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(path, target)


def shelfcast(*command: str) -> float:
    """Seconds of a command that must succeed."""
    began = time.monotonic()
    done = subprocess.run([str(COMMAND), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"shelfcast {' '.join(command)} failed: {done.stderr[-2000:]}")
    return time.monotonic() - began


def in_one_process(
    conf: Path, folder: Path, given: argparse.Namespace, struck: "Counter[str]", wrong: list[str]
) -> None:
    settings = load([conf], (), None, SECOND).settings
    spark = session.build(settings, "faults")
    try:
        harness = Harness(spark, settings, folder / "copies")
        harness.undisturbed()
        points = [(step, point) for step in harness.steps for point in harness.points[step]]
        print(f"{len(points)} crash points in {len(harness.steps)} steps", flush=True)
        draw = random.Random(given.seed)  # noqa: S311  no secret
        chosen = points if given.points is None else sorted(draw.sample(points, given.points))
        plans: list[tuple[str, list[Strike]]] = [(step, [Strike(point)]) for step, point in chosen]
        for _ in range(given.sequences):
            step = draw.choice([step for step in harness.steps if harness.points[step]])
            strikes = [Strike(draw.choice(harness.points[step]), draw.choice(KINDS)) for _ in range(draw.randint(1, 3))]
            plans.append((step, strikes))
        for number, (step, strikes) in enumerate(plans, start=1):
            began = time.monotonic()
            found = harness.disturbed(step, strikes)
            told = ", ".join(f"{one.kind} at {one.point}" for one in strikes)
            print(
                f"{number}/{len(plans)} {step}: {told}: {found or 'equal'} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
            struck.update("enumerated crash points" if number <= len(chosen) else one.kind for one in strikes)
            wrong += [f"{step}, {told}: {one}" for one in found]
    finally:
        spark.stop()


def killed(conf: Path, folder: Path, given: argparse.Namespace, struck: "Counter[str]", wrong: list[str]) -> None:
    """Runs of the command itself, from the same lake again and again."""
    lake, start, end = folder / "lake", folder / "start", folder / "end"
    weekly = ("weekly", "--as-of", str(SECOND), "--conf", str(conf))
    shutil.copytree(lake, start)
    if given.kills + given.workers:
        seconds = shelfcast(*weekly)
        shutil.copytree(lake, end)
        restore(start, lake)
    draw = random.Random(given.seed)  # noqa: S311  no secret
    for number in range(given.kills + given.workers):
        kind = "driver killed" if number < given.kills else "Python worker killed"
        after = draw.uniform(0, seconds)
        done = (kill if number < given.kills else kill_worker)([str(COMMAND), *weekly], after)
        shelfcast(*weekly)
        found = differences(str(end), str(lake))
        print(f"{kind} after {after:.1f} s ({done}): {found or 'equal'}", flush=True)
        struck[kind] += 1
        wrong += [f"{kind} after {after:.1f} s: {one}" for one in found]
        restore(start, lake)


def restore(copy: Path, lake: Path) -> None:
    shutil.rmtree(lake)
    shutil.copytree(copy, lake)


def kill(command: list[str], after: float) -> str:
    """Start a command and kill it with all its children."""
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        started.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        return "on the way"
    return "after its end"


def kill_worker(command: list[str], after: float) -> str:
    """Start a command and kill the first of Spark's Python workers that is there after a while."""
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    earliest = time.monotonic() + after
    while started.poll() is None:
        for process in psutil.Process(started.pid).children(recursive=True) if time.monotonic() > earliest else ():
            try:
                if "pyspark.daemon" in " ".join(process.cmdline()) and process.parent().name().startswith("python"):
                    process.kill()
                    return f"exit code {started.wait()}"
            except psutil.Error:
                continue
        time.sleep(0.05)
    return "none was there"


def differences(wanted: str, found: str) -> list[str]:
    compared: list[Any] = [*lakes_compared.exactly(wanted, found), *lakes_compared.scores(wanted, found)]
    wrong = [f"{one.what}: {one.differs}" for one in compared if one.differs]
    if published(wanted) != published(found):
        wrong.append(f"readers see {published(found)} instead of {published(wanted)}")
    return wrong + [f"lease left: {one}" for one in leases(found)]


if __name__ == "__main__":
    main()
