"""The ``shelfcast`` command. Exit codes: 0 done, 1 failed, 2 wrong use or configuration."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from shelfcast.config import Loaded, load, render
from shelfcast.errors import ShelfcastError
from shelfcast.stages import EVALUATE, FEATURES, INGEST, REPORT, TRAINS, Stage

if TYPE_CHECKING:
    from shelfcast.pipeline import Done, Pipeline

app = typer.Typer(
    name="shelfcast",
    help="Weekly demand forecasts for every SKU and recommendations for every user.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(help="Train one model for an as-of date.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure the shipped configuration against baselines.", no_args_is_help=True)
app.add_typer(train_app, name="train")
app.add_typer(bench_app, name="bench")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date; write YYYY-MM-DD") from error


Conf = Annotated[
    list[Path] | None, typer.Option("--conf", help="A YAML file over the defaults; later ones win.", show_default=False)
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One value, e.g. score.k=20.", show_default=False)
]
LakeUri = Annotated[str | None, typer.Option("--lake", metavar="URI", help="Where the tables lie.", show_default=False)]
AsOf = Annotated[
    date | None,
    typer.Option("--as-of", metavar="YYYY-MM-DD", parser=_day, help="Last day the run may know.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines; progress goes to stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Run even what is unchanged.")]


@dataclass(frozen=True)
class _Run:
    """A command's options, loaded."""

    loaded: Loaded
    as_json: bool

    @property
    def lake(self) -> str:
        return self.loaded.settings.lake

    def console(self) -> Console:
        return Console(stderr=self.as_json)

    def print(self, document: Any, *renderables: Any) -> None:
        """The document for machines, or what people see."""
        if self.as_json:
            print(json.dumps(document, indent=1, default=str))
            return
        console = Console()
        for renderable in renderables:
            console.print(renderable, soft_wrap=isinstance(renderable, str), highlight=False)


def _open(conf: Conf, set_: Set, lake: LakeUri, as_of: AsOf, as_json: bool) -> _Run:
    return _Run(load(conf or [], set_ or [], lake, as_of), as_json)


@app.command()
def weekly(
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
    force: Force = False,
) -> None:  # fmt: skip
    """Run everything from raw logs to the report; skip what is unchanged."""
    from shelfcast.closing import closing
    from shelfcast.pipeline import Pipeline
    from shelfcast.terminal import Terminal

    run = _open(conf, set_, lake, as_of, as_json)
    terminal = Terminal(run.console())
    try:
        day, done = Pipeline(run.loaded.settings, terminal, force).weekly()
    finally:
        terminal.stop()
    document, shown = closing(run.lake, day, done)
    run.print(document, *shown)


def _steps(run: _Run, force: bool, chosen: Callable[[Pipeline], list[Done]]) -> None:
    from shelfcast.closing import steps_document
    from shelfcast.pipeline import Pipeline
    from shelfcast.terminal import Terminal, summary

    terminal = Terminal(run.console())
    try:
        done = chosen(Pipeline(run.loaded.settings, terminal, force))
    finally:
        terminal.stop()
    run.print(steps_document(done), summary(done))


def _register(owner: typer.Typer, command: str, text: str, chosen: Callable[[Pipeline], list[Done]]) -> None:
    @owner.command(command, help=text)
    def _command(
        conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
        force: Force = False,
    ) -> None:  # fmt: skip
        _steps(_open(conf, set_, lake, as_of, as_json), force, chosen)


def _at_as_of(stage: Stage) -> Callable[[Pipeline], list[Done]]:
    return lambda pipeline: [pipeline.run(stage, pipeline.as_of())]


_register(app, "ingest", "Read new raw files into bronze, silver and quarantine.", lambda p: [p.run(INGEST)])
_register(app, "features", "Build demand, series, windows and interactions.", _at_as_of(FEATURES))
_register(train_app, "forecaster", "Train the demand forecaster.", _at_as_of(TRAINS["forecaster"]))
_register(train_app, "recommender", "Train the recommender.", _at_as_of(TRAINS["recommender"]))
_register(app, "score", "Forecast every series, rank for every user, publish.", lambda p: p.score(p.as_of()))
_register(app, "evaluate", "Compare what was scored with what then happened.", _at_as_of(EVALUATE))
_register(app, "report", "Write the HTML report.", _at_as_of(REPORT))


@app.command()
def tables(
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False
) -> None:  # fmt: skip
    """List the lake's tables with sizes, and whether the published slices are whole."""
    from shelfcast.lake import overview
    from shelfcast.terminal import facts, rows

    run = _open(conf, set_, lake, as_of, as_json)
    listed = overview.tables(run.lake)
    figures = overview.figures(run.lake, as_of)
    shown = [{k: entry[k] for k in ("table", "rows", "slices", "files", "bytes", "version")} for entry in listed]
    parts = [rows(f"Tables in {run.lake}", shown)]
    parts += [facts(f"Published {name}", figure) for name, figure in figures.items()]
    run.print({"lake": run.lake, "tables": listed, "figures": figures}, *parts)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="Table, e.g. gold/forecasts or forecasts.")],
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="COLUMN=VALUE", help="Only rows with this value.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 20,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Show rows of a table as its readers see it."""
    from shelfcast.lake import rows as lake_rows
    from shelfcast.terminal import rows

    run = _open(conf, set_, lake, as_of, as_json)
    found = lake_rows.show(run.lake, table, where or [], limit, as_of)
    run.print({"table": found.table, "version": found.version, "rows": found.rows}, rows(found.title, found.rows))


@app.command("config")
def config_(
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False
) -> None:
    """Print the merged, validated configuration, each value with where it came from."""
    run = _open(conf, set_, lake, as_of, as_json)
    origins = {".".join(key): origin for key, origin in run.loaded.origins.items()}
    document = {"settings": run.loaded.settings.model_dump(mode="json"), "origins": origins}
    if run.as_json:
        run.print(document)
    else:
        print(render(run.loaded))


@bench_app.command("forecast")
def bench_forecast(
    origins: Annotated[
        list[str] | None, typer.Option("--origin", metavar="YYYY-MM-DD", help="Origins; default evaluate.origins.")
    ] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Backtest rolling origins, training at each, against every baseline."""
    from shelfcast.backtest import forecast
    from shelfcast.terminal import Terminal

    run = _open(conf, set_, lake, None, as_json)
    terminal = Terminal(run.console())
    try:
        result = forecast(run.loaded.settings, [_day(text) for text in origins or []], terminal)
    finally:
        terminal.stop()
    if not as_json:
        Console().print(result.table)
    print(json.dumps(result.document, default=str))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        app(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except ShelfcastError as error:
        _complain(str(error))
        return error.exit_code
    except Exception as error:
        if os.environ.get("SHELFCAST_DEBUG"):
            raise
        said = str(error).strip().splitlines() or [""]
        _complain(f"{type(error).__name__}: {said[0]} (set SHELFCAST_DEBUG=1 for the traceback)")
        return 1
    return 0


def _complain(message: str) -> None:
    print(f"shelfcast: {message}", file=sys.stderr)


def run() -> None:
    """The console script."""
    sys.exit(main())
