"""A week's new files after 52 weeks of history ÷ building all of these: ingest and features.

The new files hold late records of earlier weeks as well. The bench fails unless exactly the weeks that the new files
have records of were written, and nothing is lost: what both runs put into silver is what one run over all files does.
"""

import argparse
import json
import shutil
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402
from deltalake import DeltaTable  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bench_logs.options(parser, events=10_000_000)
    parser.set_defaults(weeks=53)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        log = bench_logs.generated(where, given, given.events, weeks=given.weeks)
        grown, lake = where / "grown", where / "lake"
        newest = staged(log, grown)
        with bench_logs.session_of(grown, lake, given) as (settings, _):
            full = bench_logs.built(settings)
            before = weeks_written(lake)
            shutil.copytree(log / "events" / newest, grown / "events" / newest)
            week = bench_logs.built(settings)
        touched = {name for name, version in weeks_written(lake).items() if before.get(name) != version}
    require_nothing_lost(log, full, week)
    require_touched(log, touched)
    ratio = week.seconds / full.seconds
    full.print()
    week.print()
    slices = week.features.counts["slices"]
    print(f"slices built and kept: {json.dumps(slices)}")
    print(f"52 weeks: {full.seconds:.1f} s; one more: {week.seconds:.1f} s, {ratio:.3f} of it")
    document = {"bench": "increments", "ratio": ratio, "weeks_touched": len(touched), "slices": slices}
    print(json.dumps(document | {"full": full.document(), "week": week.document(), "events": given.events}))


def staged(log: Path, grown: Path) -> str:
    """A copy of the log without the files that arrived last; returns their folder's name."""
    shutil.rmtree(grown, ignore_errors=True)
    newest = max(path.name for path in (log / "events").glob("arrived=*"))
    shutil.copytree(log, grown, ignore=shutil.ignore_patterns(newest, "truth"))
    source = (grown / "source.yaml").read_text()
    (grown / "source.yaml").write_text(source.replace(str(log), str(grown)))
    return newest


def weeks_written(lake: Path) -> dict[str, frozenset[str]]:
    """Week → the files of silver/events that hold it."""
    found: dict[str, set[str]] = {}
    for path in DeltaTable(str(lake / "silver/events")).file_uris():
        week = next(part for part in path.split("/") if part.startswith("week_start="))
        found.setdefault(week.partition("=")[2], set()).add(path)
    return {week: frozenset(paths) for week, paths in found.items()}


def require_nothing_lost(log: Path, *runs: bench_logs.Built) -> None:
    planted = bench_logs.ledger(log)
    found = {"records": 0, "good": 0, "quarantined": 0, "duplicates": 0}
    for ran in runs:
        (counts,) = (one for one in ran.ingest.counts["inputs"] if one["table"] == "silver/events")
        for name, key in (("records", "read"), ("good", "silver"), ("quarantined", "quarantined")):
            found[name] += counts[key]
        found["duplicates"] += counts["duplicates"]
    if found != {name: planted[name] for name in found}:
        raise SystemExit(f"both runs found {found}, but the ledger says {planted}")


def require_touched(log: Path, touched: set[str]) -> None:
    """Only weeks that the newest files hold records of may have been written."""
    planted = bench_logs.ledger(log)
    start, newest = date.fromisoformat(planted["world"]["start"]), planted["world"]["weeks"] - 1
    found = {row["week"] for row in planted["by_week"] if row["arrived"] == newest and row["defect"] == "late"}
    allowed = {(start + timedelta(weeks=week)).isoformat() for week in {*found, newest}}
    if not touched or not touched <= allowed:
        raise SystemExit(f"weeks {sorted(touched)} were written; the newest files hold records of {sorted(allowed)}")
    print(f"{len(touched)} weeks were written; the newest files hold records of {len(allowed)}")


if __name__ == "__main__":
    main()
