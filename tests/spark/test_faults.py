"""Ingest and features struck at their writes leave what an undisturbed run does; ``scripts/bench faults`` is more."""

import random
import shutil
from datetime import timedelta

import pytest
import yaml
from faults import AFTER_COMMIT, BEFORE_COMMIT, KINDS, Harness, Point, Steps, Strike
from ingest_logs import SMALL

from shelfcast.config import load
from shelfcast.generate.world import START, World
from shelfcast.generate.write import write
from shelfcast.pipeline import Pipeline
from shelfcast.stages import FEATURES, INGEST

FIRST, SECOND = START + timedelta(weeks=6, days=-1), START + timedelta(weeks=7, days=-1)
SEQUENCES = 2


def run(pipeline: Pipeline) -> None:
    pipeline.run(INGEST)
    pipeline.run(FEATURES, pipeline.as_of())


@pytest.fixture
def harness(spark, tmp_path) -> Harness:
    """A lake with one week, and the files of the next beside it."""
    world, raw = tmp_path / "world", tmp_path / "raw"
    write(spark, World(400, 20, 6, 1, weeks=8, stores=2), str(world), "parquet", lambda _: None)
    arriving = sorted((world / "events").glob("arrived=*"))
    shutil.copytree(world, raw, ignore=lambda *_: [one.name for one in arriving if one.name[8:] > str(FIRST)])
    conf = tmp_path / "shop.yaml"
    conf.write_text(yaml.safe_dump({"sources": {"shop": {"extends": "generated", "root": str(raw)}}}))
    sets = (*SMALL, "windows.context=30", "windows.horizon=2")
    lake = str(tmp_path / "lake")
    made = Harness(spark, load([conf], sets, lake, FIRST).settings, tmp_path / "copies", run)
    run(made.pipeline(Steps()))
    for one in arriving:
        shutil.copytree(one, raw / "events" / one.name, dirs_exist_ok=True)
    made.settings = load([conf], sets, lake, SECOND).settings
    made.undisturbed()
    return made


@pytest.mark.slow
def test_struck_at_its_writes_a_run_leaves_what_an_undisturbed_one_does(harness: Harness) -> None:
    ingest, features, _ = harness.steps
    assert {"silver/events", "silver/quarantine", "ops/files", "ops/runs"} <= {p.target for p in harness.points[ingest]}
    assert {"gold/demand", "gold/windows", "gold/interactions"} <= {p.target for p in harness.points[features]}
    draw = random.Random(1)
    halfway, unnoted = Point("silver/events", BEFORE_COMMIT, 1), Point("gold/demand", AFTER_COMMIT, 1)
    assert halfway in harness.points[ingest]
    assert unnoted in harness.points[features]
    plans = [(ingest, [Strike(halfway)]), (features, [Strike(unnoted)])]
    for _ in range(SEQUENCES):
        strikes = [Strike(draw.choice(harness.points[ingest]), draw.choice(KINDS)) for _ in range(2)]
        plans.append((ingest, strikes))
    for step, strikes in plans:
        assert harness.disturbed(step, strikes) == [], (step, strikes)

    shutil.rmtree(harness.copy(ingest) / "silver" / "quarantine")
    assert any("silver/quarantine" in one for one in harness.differences(ingest)), "what differs is told"
