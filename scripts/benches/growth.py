"""How time, memory, shuffles and files grow from N to 3 N to 9 N events, and what that says of 1 TB and 10 TB.

Each size is generated, cleaned and made into windows and interactions in a session of its own, with the embedded
driver's memory. The model takes bytes and CPU seconds an event from the largest size; users, products and weeks grow
with the events as they do between the sizes.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

TABLES = ("bronze/generated/events", "silver/events", "gold/demand", "gold/windows", "gold/interactions")
A_TASK = 256e6  # bytes of files that a task reads on a cluster: conf/cluster.yaml


@dataclass(frozen=True)
class Size:
    """One run.

    Attributes:
        raw: bytes of the log's events.
        files: table → sizes of its files.
    """

    events: int
    raw: int
    built: bench_logs.Built
    files: dict[str, list[int]]

    def each(self, figure: str) -> float:
        return self.built.total(figure) / self.events

    def document(self) -> dict[str, Any]:
        files = {name: {"files": len(sizes), "bytes": sum(sizes)} for name, sizes in self.files.items()}
        return {"events": self.events, "raw_bytes": self.raw, "files": files, **self.built.document()}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bench_logs.options(parser, events=10_000_000)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3, 9], help="of the events")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        sizes = [run(where, given, given.events * times) for times in given.times]
    console = Console(width=150)
    console.print(grown(sizes))
    console.print(by_part(sizes))
    console.print(tables(sizes[-1]))
    model = [modelled(sizes[-1], target) for target in (1e12, 1e13)]
    console.print(planned(model))
    ratios = [later.built.seconds / earlier.built.seconds for earlier, later in pairwise(sizes)]
    for (earlier, later), ratio in zip(pairwise(sizes), ratios, strict=True):
        print(f"{later.events:,} events take {ratio:.2f} times as long as {earlier.events:,}")
    print(json.dumps({"bench": "growth", "ratios": ratios, "sizes": [one.document() for one in sizes], "model": model}))


def run(where: Path, given: argparse.Namespace, events: int) -> Size:
    log, lake = bench_logs.generated(where, given, events), where / "lake"
    with bench_logs.session_of(log, lake, given) as (settings, _):
        built = bench_logs.built(settings)
    bench_logs.require_exact(log, built.ingest)
    return Size(events, bench_logs.raw_bytes(log), built, {name: bench_logs.files(lake, name) for name in TABLES})


def grown(sizes: list[Size]) -> Table:
    table = Table(title="Growth", title_justify="left")
    for name in ("events", "seconds", "µs an event", "JVM's peak", "shuffled", "spilled", "written"):
        table.add_column(name, justify="right")
    for one in sizes:
        bytes_ = [f"{one.built.total(name) / 1e6:,.0f} MB" for name in _BYTES]
        seconds = one.built.seconds
        table.add_row(
            f"{one.events:,}", f"{seconds:,.0f}", f"{seconds / one.events * 1e6:.1f}", f"{one.built.peak_mb:,.0f} MB",
            *bytes_,
        )  # fmt: skip
    return table


_BYTES = ("bytes_shuffled", "bytes_spilled", "bytes_written")


def by_part(sizes: list[Size]) -> Table:
    table = Table(title="Seconds by part, and times the size before", title_justify="left")
    table.add_column("part")
    for one in sizes:
        table.add_column(f"{one.events:,}", justify="right")
    for name in sizes[-1].built.parts():
        seconds = [one.built.part(name) for one in sizes]
        cells = [f"{seconds[0]:.1f}"]
        for earlier, later in pairwise(seconds):
            cells.append(f"{later:.1f} ({later / earlier:.1f} ×)" if earlier else f"{later:.1f}")
        table.add_row(name, *cells)
    return table


def tables(one: Size) -> Table:
    table = Table(title=f"Files of {one.events:,} events", title_justify="left")
    for name in ("table", "files", "mean size", "bytes an event"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for name, sizes in one.files.items():
        mean = sum(sizes) / max(1, len(sizes)) / 1e6
        table.add_row(name, f"{len(sizes):,}", f"{mean:.2f} MB", f"{sum(sizes) / one.events:.1f}")
    return table


def modelled(one: Size, target: float) -> dict[str, float]:
    """What a log of so many raw bytes takes, on paper."""
    events = target / (one.raw / one.events)
    return {
        "raw_bytes": target,
        "events": events,
        "bytes_written": one.each("bytes_written") * events,
        "bytes_shuffled": one.each("bytes_shuffled") * events,
        "core_hours": one.each("cpu_seconds") * events / 3600,
        "read_tasks": target / A_TASK,
        "shuffle_tasks": one.each("bytes_shuffled") * events / A_TASK,
        "files_of_silver_events": sum(one.files["silver/events"]) / one.events * events / A_TASK,
    }


def planned(model: list[dict[str, float]]) -> Table:
    table = Table(title="On paper", title_justify="left")
    table.add_column("")
    for one in model:
        table.add_column(f"{one['raw_bytes'] / 1e12:g} TB of raw events", justify="right")
    for name in model[0]:
        if name != "raw_bytes":
            table.add_row(name.replace("_", " "), *(_large(name, one[name]) for one in model))
    return table


def _large(name: str, value: float) -> str:
    return f"{value / 1e12:,.2f} TB" if name.startswith("bytes") else f"{value:,.0f}"


if __name__ == "__main__":
    main()
