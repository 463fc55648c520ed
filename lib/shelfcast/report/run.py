"""Gather what the page shows, draw it, and write ``<lake>/reports/<as_of>.html``."""

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow.compute as pc

from shelfcast.lake.ledger import Ledger
from shelfcast.lake.paths import filesystem, is_local
from shelfcast.lake.step import Outcome, Step
from shelfcast.report import accuracy, demand, intake, lists, process, totals
from shelfcast.report.page import Facts, render
from shelfcast.report.reader import Reader
from shelfcast.report.truth import Truth
from shelfcast.settings import Settings


def run(step: Step) -> Outcome:
    """Write the page of ``step.as_of``; needs no JVM.

    Tables are read at the versions published for that date (the newest where nothing has been published), what happened
    afterwards and metrics at their newest. Whatever is missing leaves a sentence on the page.

    Returns:
        ``counts["path"]`` is where the page lies.
    """
    day = step.day()
    step.say("drawing the report")
    html = render(gather(step.lake.uri, step.settings, day, step.run_id, step.models))
    path = write(f"{step.lake.uri}/reports/{day.isoformat()}.html", html)
    return Outcome(rows_out=1, counts={"path": path, "bytes": len(html.encode())})


def gather(lake: str, settings: Settings, as_of: date, run_id: str, models: Mapping[str, str]) -> Facts:
    """Every fact of the page, by bounded reads."""
    ledger = Ledger(lake)
    published = ledger.published(as_of)
    reader, records = Reader(lake, published), ledger.records()
    at = demand.frame(reader, settings, as_of)
    truth = Truth(reader, at.grain, tuple(at.targets))
    first = at.forecasts() & (pc.field("horizon") == 1)
    made = reader.sums("gold/forecasts", ["model_version"], [], first).to_pylist()
    versions = [folder.rstrip("/").rsplit("/", 1)[-1] for folder in models.values()]
    return Facts(
        run_id=run_id, as_of=as_of, at=at, intake=intake.intake(reader, settings, records),
        total=demand.total(reader, at, truth), totals=totals.totals(reader, at),
        chosen=demand.chosen(reader, settings, at, truth), worst=demand.worst(reader, settings, at, truth),
        forecast_series=sum(row["rows"] for row in made),
        metrics=accuracy.metrics(reader, as_of, [*versions, *(row["model_version"] for row in made)]),
        lists=lists.lists(reader, settings, as_of), steps=process.steps(records, run_id, as_of),
        models=process.models(models), published=published, smallest_group=settings.report.smallest_group,
    )  # fmt: skip


def write(uri: str, html: str) -> str:
    """Write a page whole: readers see the old one or the new one. Returns ``uri``."""
    system, path = filesystem(uri)
    system.create_dir(path.rsplit("/", 1)[0], recursive=True)
    if is_local(uri):
        temporary = Path(f"{path}.{os.getpid()}.tmp")
        temporary.write_text(html, encoding="utf-8")
        temporary.replace(path)
        return uri
    with system.open_output_stream(path) as stream:
        stream.write(html.encode())
    return uri
