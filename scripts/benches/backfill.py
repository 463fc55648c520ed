"""Weekly runs of as many slices ÷ one backfill of them, trainings left out: one process a week against one for all.

Both begin with the same lake, into which the logs have been ingested and in which both models have been trained for the
first slice; no other is. The bench fails unless all tables are equal in the end: those before training row by row,
scores up to float tolerance. Readers must see the same days.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import lakes_compared  # noqa: E402

from shelfcast.lake.ledger import Ledger  # noqa: E402

KINDS = ("forecaster", "recommender")
COMMAND = Path(sys.executable).with_name("shelfcast")


@dataclass(frozen=True)
class Took:
    """Attributes:
    seconds: of whole commands, starts and ends included.
    by_step: step → seconds.
    """

    seconds: float
    by_step: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2017, 9, 3), help="end of the first week")
    parser.add_argument("--weeks", type=int, default=8)
    parser.add_argument("--conf", action="append", default=[], help="as for shelfcast; repeatable")
    parser.add_argument("--set", action="append", default=[], help="as for shelfcast; repeatable")
    parser.add_argument("--folder", type=Path, help="keeps the lakes; default: a temporary one")
    given = parser.parse_args()
    options = [part for name in ("conf", "set") for value in getattr(given, name) for part in (f"--{name}", value)]
    options += ["--set", "schedule.train_every_weeks=null"]
    ends = [given.first + timedelta(weeks=week) for week in range(given.weeks)]
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        lakes = {name: where / name for name in ("weekly", "backfill")}
        for lake in lakes.values():
            shutil.rmtree(lake, ignore_errors=True)
        as_of = ("--as-of", str(given.first))
        for command in (("ingest",), ("features", *as_of), *(("train", kind, *as_of) for kind in KINDS)):
            shelfcast(lakes["weekly"], options, *command)
        shutil.copytree(lakes["weekly"], lakes["backfill"])
        runs = [["weekly", "--as-of", str(day)] for day in ends]
        weekly = timed(lakes["weekly"], options, runs)
        span = ["backfill", "--from", str(ends[0]), "--to", str(ends[-1])]
        backfill = timed(lakes["backfill"], options, [span])
        require_equal(*(str(lakes[name]) for name in ("weekly", "backfill")))
    ratio = weekly.seconds / backfill.seconds
    for name, took in (("weekly", weekly), ("backfill", backfill)):
        steps = ", ".join(f"{step} {seconds:.0f}" for step, seconds in took.by_step.items())
        print(f"{name}: {took.seconds:.0f} s for {given.weeks} slices ({steps})")
    print(f"{ratio:.2f} times as fast")
    document = {"bench": "backfill", "ratio": ratio, "slices": given.weeks}
    print(json.dumps(document | {"weekly": weekly.__dict__, "backfill": backfill.__dict__}))


def shelfcast(lake: Path, options: Sequence[str], *command: str) -> None:
    log = lake.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
        done = subprocess.run(
            [str(COMMAND), *command, *options, "--lake", str(lake)], stdout=said, stderr=said, check=False
        )
    if done.returncode:
        raise SystemExit(f"shelfcast {' '.join(command)} failed: {log.read_text()[-2000:]}")


def timed(lake: Path, options: Sequence[str], commands: Sequence[Sequence[str]]) -> Took:
    before = {record.attempt for record in Ledger(str(lake)).records()}
    began = time.perf_counter()
    for command in commands:
        shelfcast(lake, options, *command)
        print(f"{' '.join(command)}: done after {time.perf_counter() - began:.0f} s", flush=True)
    seconds = time.perf_counter() - began
    by_step: dict[str, float] = {}
    for record in Ledger(str(lake)).records():
        if record.attempt not in before:
            by_step[record.step] = by_step.get(record.step, 0.0) + (record.seconds or 0.0)
    if trained := [step for step in by_step if step.startswith("train")]:
        raise SystemExit(f"{', '.join(trained)}: nothing had to be trained anew")
    return Took(seconds, by_step)


def require_equal(weekly: str, backfill: str) -> None:
    compared = [*lakes_compared.exactly(weekly, backfill), *lakes_compared.scores(weekly, backfill)]
    for one in compared:
        print(f"  {one.what:<30} {one.rows:>12,}  {'DIFFERS: ' + one.differs if one.differs else 'the same'}")
    if wrong := [one.what for one in compared if one.differs]:
        raise SystemExit(f"differ: {', '.join(wrong)}")
    if Ledger(weekly).published_days() != Ledger(backfill).published_days():
        raise SystemExit("readers do not see the same days")


if __name__ == "__main__":
    main()
