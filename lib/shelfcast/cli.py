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
    from shelfcast.pipeline import Done, Listener, Pipeline
    from shelfcast.trials import Tried

app = typer.Typer(
    name="shelfcast",
    help="Weekly demand forecasts for every SKU and recommendations for every user.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(help="Train one model for an as-of date.", no_args_is_help=True)
tune_app = typer.Typer(help="Search for a better configuration of a model.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure the shipped configuration against baselines.", no_args_is_help=True)
app.add_typer(train_app, name="train")
app.add_typer(tune_app, name="tune")
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


@app.command()
def explain(
    product: Annotated[str, typer.Argument(metavar="SKU", help="The product, as in gold/forecasts.")],
    store: Annotated[str, typer.Option(help="A store, where series are per store; * is all of them.")] = "*",
    horizon: Annotated[int | None, typer.Option(min=1, help="Only this period ahead.", show_default=False)] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Say what drove a product's forecasts: history, price, promotion, calendar, statics."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else TensorFlow tells how it was built
    from shelfcast import explanation

    run = _open(conf, set_, lake, as_of, as_json)
    document = explanation.explain(run.lake, product, store, as_of, horizon)
    run.print(document, explanation.shown(document))


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
def bench_forecast(  # noqa: PLR0913, PLR0917 - a command's options
    origins: Annotated[
        list[str] | None,
        typer.Option("--origins", "--origin", metavar="DAY,DAY,...", help="Origins; default evaluate.origins."),
    ] = None,
    planned: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND,KIND", help="Plans known ahead: display, mailer or none; repeat to compare."),
    ] = None,
    ways: Annotated[bool, typer.Option("--ways", help="All plans known ahead, mailers only, none.")] = False,
    grain: Annotated[
        str | None, typer.Option(help="Another grain than the configured ones, e.g. week.product_store or day.product.")
    ] = None,
    products: Annotated[
        int | None, typer.Option(min=1, help="Only the series of the N products that sold most up to each origin.")
    ] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Backtest rolling origins, training at each, against every baseline and LightGBM.

    Another grain or a part of the products has a lake of its own beside the configured one.
    """
    from shelfcast import backtest
    from shelfcast.terminal import Terminal

    run = _open(conf, set_, lake, None, as_json)
    settings = backtest.part(run.loaded.settings, grain, products)
    days = [_day(text.strip()) for given in origins or [] for text in given.split(",")]
    chosen = [*(_plans(text) for text in planned or []), *(backtest.WAYS if ways else ())]
    terminal = Terminal(run.console())
    run.console().print(f"Configuration {backtest.configuration(settings)}", highlight=False)
    try:
        result = backtest.forecast(settings, days, terminal, chosen)
    finally:
        terminal.stop()
    if not as_json:
        for table in result.tables:
            Console().print(table)
    print(json.dumps(result.document, default=str))


def _plans(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(","))
    if found == ("none",):
        return ()
    if not found or not set(found) <= {"display", "mailer"}:
        raise typer.BadParameter(f"{text!r} names no plans; write display,mailer or mailer or none")
    return found


Origin = Annotated[
    list[str] | None, typer.Option("--origin", metavar="YYYY-MM-DD", help="One origin; may be repeated.")
]
Origins = Annotated[
    str | None, typer.Option(metavar="DAY,DAY,...", help="Several; without any, those of tuning.origins.")
]


def _days(origin: list[str] | None, origins: str | None) -> list[date]:
    return [_day(text) for text in (*(origin or []), *(origins.split(",") if origins else []))]


@bench_app.command("ablation")
def bench_ablation(
    origin: Origin = None, origins: Origins = None,
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this variant beside the shipped one; repeatable.")
    ] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """What each ingredient of the forecaster is worth: it is left out and trained again, at earlier origins."""
    from shelfcast.ablation import ablation

    run = _open(conf, set_, lake, None, as_json)
    _tried(run, lambda terminal: ablation(run.loaded.settings, _days(origin, origins), terminal, variant or []))


@tune_app.command("forecaster")
def tune_forecaster(
    origin: Origin = None, origins: Origins = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of the search in all; what was tried before counts.", show_default=False)
    ] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Search tuning.space by likelihood over earlier origins; an interrupted search goes on."""
    from shelfcast.tuning import tune

    run = _open(conf, set_, lake, None, as_json)
    _tried(run, lambda terminal: tune(run.loaded.settings, _days(origin, origins), trials, terminal))


def _tried(run: _Run, made: Callable[[Listener], Tried]) -> None:
    """Run a bench of many trainings; show its table and print its document as one line."""
    from shelfcast.terminal import Terminal

    terminal = Terminal(run.console())
    try:
        result = made(terminal)
    finally:
        terminal.stop()
    if not run.as_json:
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
