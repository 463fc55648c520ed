"""Clean to windows ÷ reading and writing the same bytes, on a generated log, in one Spark session.

The reference reads the log's events (snappy Parquet) and writes them to Delta, all columns; it is timed before and
after. Counted for the pipeline: exact removal of duplicates, rules, the promotion join, demand, series, windows; with
interactions as the second figure. What brings raw files into bronze is shown beside them. The bench fails unless
cleaning finds exactly what the log's ledger says was planted.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bench_logs.options(parser, events=10_000_000)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        log = bench_logs.generated(where, given, given.events)
        with bench_logs.session_of(log, where / "lake", given) as (settings, spark):
            before = bench_logs.floor(spark, log, where / "floor")
            ran = bench_logs.built(settings)
            after = bench_logs.floor(spark, log, where / "floor")
    bench_logs.require_exact(log, ran.ingest)
    report(given, ran, (before, after))


def report(given: argparse.Namespace, ran: bench_logs.Built, floors: tuple[float, float]) -> None:
    floor_seconds = sum(floors) / 2
    bronze, interactions = ran.part("bronze"), ran.part("write gold/interactions") + ran.part("check gold/interactions")
    windows = ran.seconds - bronze - interactions
    ran.print()
    print(f"reading and writing {given.events:,} events: {floors[0]:.1f} s before, {floors[1]:.1f} s after")
    print(f"raw files to bronze: {bronze:.1f} s, {bronze / floor_seconds:.2f} ×")
    print(f"clean to windows: {windows:.1f} s, {windows / floor_seconds:.2f} ×")
    print(f"with interactions ({interactions:.1f} s): {(windows + interactions) / floor_seconds:.2f} ×")
    document = {
        "bench": "pipeline",
        "ratio": windows / floor_seconds,
        "ratio_with_interactions": (windows + interactions) / floor_seconds,
        "ratio_of_bronze": bronze / floor_seconds,
        "floor_seconds": floors,
        "windows_seconds": windows,
        "interactions_seconds": interactions,
        "bronze_seconds": bronze,
        **ran.document(),
        "events": given.events,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
