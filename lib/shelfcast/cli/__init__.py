"""The ``shelfcast`` command. Exit codes: 0 done, 1 failed, 2 wrong use or configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from shelfcast.cli.measuring import bench_app, tune_app
from shelfcast.cli.options import AsOf, Conf, Force, Json, LakeUri, Run, Set, Since, day, opened
from shelfcast.config import render
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
app.add_typer(train_app, name="train")
app.add_typer(tune_app, name="tune")
app.add_typer(bench_app, name="bench")


@app.command()
def weekly(
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and why.")] = False,
) -> None:  # fmt: skip
    """Run everything from raw logs to the report; skip what is unchanged."""
    from shelfcast.closing import closing
    from shelfcast.pipeline import Pipeline

    run = opened(conf, set_, lake, as_of, as_json)
    if dry_run:
        _plan(run, force)
        return
    with run.terminal() as terminal:
        day, done = Pipeline(run.loaded.settings, terminal, force).weekly()
    document, shown = closing(run.lake, day, done)
    run.print(document, *shown)


@app.command()
def backfill(
    first: Annotated[date, typer.Option("--from", metavar="YYYY-MM-DD", parser=day, help="First day of the span.")],
    last: Annotated[date, typer.Option("--to", metavar="YYYY-MM-DD", parser=day, help="Last day of the span.")],
    steps: Annotated[str | None, typer.Option(metavar="STEP,…", help="Only these; default: all.")] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False, force: Force = False,
) -> None:  # fmt: skip
    """Fill the slices of all weeks that end in a span of days; what is done is skipped, what fails is told."""
    from shelfcast import backfilling
    from shelfcast.pipeline import Pipeline
    from shelfcast.terminal import rows

    run = opened(conf, set_, lake, None, as_json)
    chosen = steps.replace(" ", "").split(",") if steps else backfilling.STEPS
    with run.terminal() as terminal:
        slices = backfilling.backfill(Pipeline(run.loaded.settings, terminal, force), first, last, chosen)
    listed = [one.row() for one in slices]
    run.print({"lake": run.lake, "slices": listed}, rows(f"Slices in {run.lake}", listed))
    if failed := [one for one in slices if one.error]:
        raise ShelfcastError(f"{len(failed)} of {len(slices)} slices failed; run the same command again for these")


def _plan(run: Run, force: bool) -> None:
    from shelfcast.pipeline import Pipeline
    from shelfcast.planning import plan
    from shelfcast.terminal import rows

    with run.terminal() as terminal:
        steps = [asdict(one) for one in plan(Pipeline(run.loaded.settings, terminal, force))]
    run.print({"lake": run.lake, "steps": steps}, rows(f"What a weekly run in {run.lake} would do", steps))


def _steps(run: Run, force: bool, chosen: Callable[[Pipeline], list[Done]]) -> None:
    from shelfcast.closing import steps_document
    from shelfcast.pipeline import Pipeline
    from shelfcast.terminal import summary

    with run.terminal() as terminal:
        done = chosen(Pipeline(run.loaded.settings, terminal, force))
    run.print(steps_document(done), summary(done))


def _register(owner: typer.Typer, command: str, text: str, chosen: Callable[[Pipeline], list[Done]]) -> None:
    @owner.command(command, help=text)
    def _command(
        conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
        force: Force = False,
    ) -> None:  # fmt: skip
        _steps(opened(conf, set_, lake, as_of, as_json), force, chosen)


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
    personal: Annotated[bool, typer.Option("--personal", help="Only those that speak of single persons.")] = False,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
) -> None:  # fmt: skip
    """List the lake's tables with sizes, and whether the published slices are whole."""
    from shelfcast.lake import overview
    from shelfcast.terminal import facts, rows

    run = opened(conf, set_, lake, as_of, as_json)
    listed = [entry for entry in overview.tables(run.lake) if entry["personal"] or not personal]
    figures = {} if personal else overview.figures(run.lake, as_of)
    shown = [{k: entry[k] for k in ("table", "rows", "slices", "files", "bytes", "version")} for entry in listed]
    parts = [rows(f"Tables{' with personal data' if personal else ''} in {run.lake}", shown)]
    parts += [facts(f"Published {name}", figure) for name, figure in figures.items()]
    run.print({"lake": run.lake, "tables": listed, "figures": figures}, *parts)


@app.command()
def maintain(
    tables: Annotated[list[str] | None, typer.Argument(help="All tables if none is named.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Join small files, order rows by series or user, delete files that no reader needs any more."""
    from shelfcast.lake import maintenance, session
    from shelfcast.lake.store import Lake
    from shelfcast.terminal import rows

    run = opened(conf, set_, lake, None, as_json)
    settings = run.loaded.settings
    with run.terminal() as terminal:
        opened_lake = Lake(lambda: session.build(settings), settings.lake)
        done = maintenance.maintain(opened_lake, settings, tables or [], dry_run, terminal.begin("maintain", "*"))
    listed = [asdict(one) for one in done]
    title = f"{'To be maintained' if dry_run else 'Maintained'} in {settings.lake}"
    run.print({"lake": settings.lake, "dry_run": dry_run, "tables": listed}, rows(title, listed))


@app.command()
def rollback(
    table: Annotated[str, typer.Argument(help="A table of gold, e.g. gold/forecasts.")],
    to: Annotated[str, typer.Option("--to", metavar="RUN", help="The run_id, in ops/runs, whose result comes back.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Put a table back to what it was after a run, and let readers see that."""
    from shelfcast.lake import rolling_back
    from shelfcast.terminal import facts

    run = opened(conf, set_, lake, None, as_json)
    with run.terminal() as terminal:
        say = terminal.begin("rollback", table)
        done = rolling_back.roll_back(run.lake, table, to, run.loaded.settings.locks, say, dry_run=dry_run)
    title = f"{table} {'would be' if dry_run else 'is'} what it was after {to}"
    run.print({"lake": run.lake, "dry_run": dry_run, **asdict(done)}, facts(title, asdict(done)))


@app.command()
def erase(
    user: Annotated[str, typer.Argument(help="The id as the logs or the tables have it; - reads it from stdin.")],
    now: Annotated[bool, typer.Option("--now", help="Delete files of earlier versions at once.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only look for what is left; reads the whole lake.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Remove a person from every table, from reports and from later readings of the same files."""
    from shelfcast.lake import session
    from shelfcast.lake.store import Lake
    from shelfcast.privacy import erasing, traces
    from shelfcast.terminal import facts, rows

    run = opened(conf, set_, lake, None, as_json)
    settings = run.loaded.settings
    user = sys.stdin.readline().strip() if user == "-" else user
    with run.terminal() as terminal:
        say = terminal.begin("erase", "*")
        opened_lake = Lake(lambda: session.build(settings), settings.lake)
        found = erasing.remains(opened_lake, settings, user, say) if check else []
        done = None if check else erasing.erase(opened_lake, settings, user, say, now=now, dry_run=dry_run)
    if done is not None:
        title = f"{'Would be erased' if dry_run else 'Erased'} in {settings.lake}"
        run.print({"lake": settings.lake, "dry_run": dry_run, **asdict(done)}, facts(title, asdict(done)))
        return
    listed = traces.summary(found)
    run.print(
        {"lake": settings.lake, "traces": listed}, rows(f"What still names the person in {settings.lake}", listed)
    )
    if found:
        raise ShelfcastError(
            f"{len(found)} places still name the person; files of earlier versions go by shelfcast maintain, or by "
            "shelfcast erase --now"
        )


@app.command()
def show(  # noqa: PLR0913, PLR0917 - a command's options
    table: Annotated[str, typer.Argument(help="Table, e.g. gold/forecasts or forecasts; or neighbours, of a SKU.")],
    product: Annotated[
        str | None, typer.Argument(metavar="[SKU]", help="The product whose neighbours are wanted.", show_default=False)
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="COLUMN=VALUE", help="Only rows with this value.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 20,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Show rows of a table as its readers see it, or the products nearest to one in the recommender's vectors."""
    from shelfcast.lake import rows as lake_rows
    from shelfcast.terminal import rows

    run = opened(conf, set_, lake, as_of, as_json)
    if table == "neighbours":
        _neighbours(run, product, limit, as_of)
        return
    if product is not None:
        raise typer.BadParameter(f"{product}: only neighbours take a SKU; rows are chosen with --where COLUMN=VALUE")
    found = lake_rows.show(run.lake, table, where or [], limit, as_of)
    run.print({"table": found.table, "version": found.version, "rows": found.rows}, rows(found.title, found.rows))


def _neighbours(run: Run, product: str | None, limit: int, as_of: date | None) -> None:
    if product is None:
        raise typer.BadParameter("write the SKU whose neighbours are wanted: shelfcast show neighbours SKU")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else TensorFlow tells how it was built
    from shelfcast.neighbours import neighbours
    from shelfcast.terminal import rows

    found = neighbours(run.lake, product, limit, as_of)
    kind = ", ".join(str(found[name]) for name in ("category", "product_type", "brand") if found.get(name))
    title = f"Neighbours of {product}{f' ({kind})' if kind else ''}, as of {found['as_of']}"
    run.print(found, rows(title, found["neighbours"]))


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

    run = opened(conf, set_, lake, as_of, as_json)
    document = explanation.explain(run.lake, product, store, as_of, horizon)
    run.print(document, explanation.shown(document))


@app.command()
def generate(  # noqa: PLR0913, PLR0917 - a command's options
    events: Annotated[int, typer.Option(min=1, help="Good events; defects are planted beside them.")],
    out: Annotated[str, typer.Option(metavar="URI", help="An empty or new folder.")],
    users: Annotated[int, typer.Option(min=1, help="Users, active by Zipf's law.")] = 10_000,
    products: Annotated[int, typer.Option(min=1, help="Products, popular by Zipf's law.")] = 1_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same logs, however many cores do.")] = 1,
    weeks: Annotated[int, typer.Option(min=1, help="Weeks from the start on.")] = 52,
    stores: Annotated[int, typer.Option(min=1, help="Stores.")] = 30,
    start: Since = None,
    hot_product: Annotated[float, typer.Option(min=0, help="Share of all events that are one product's.")] = 0.0,
    hot_user: Annotated[int, typer.Option(min=0, help="Further events by one user.")] = 0,
    format_: Annotated[str, typer.Option("--format", help="Of the events: parquet or csv.")] = "parquet",
    conf: Conf = None, set_: Set = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Generate behaviour logs in which everything is known, with a ledger of planted defects and true effects."""
    from shelfcast.generate.world import START, World
    from shelfcast.generate.write import write
    from shelfcast.lake import session
    from shelfcast.terminal import facts

    run = opened(conf, set_, None, None, as_json)
    world = World(events, users, products, seed, weeks, stores, start or START, hot_product, hot_user)
    with run.terminal() as terminal:
        ledger = write(session.build(run.loaded.settings), world, out, format_, terminal.begin("generate", "*"))
    told = {name: ledger[name] for name in ("records", "good", "duplicates", "quarantined")}
    told |= {f"refused by {rule}": number for rule, number in ledger["refused"].items()}
    run.print(ledger, facts(f"Generated in {out}", told), f"shelfcast weekly --conf {out.rstrip('/')}/source.yaml")


@app.command("config")
def config_(
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_of: AsOf = None, as_json: Json = False
) -> None:
    """Print the merged, validated configuration, each value with where it came from."""
    run = opened(conf, set_, lake, as_of, as_json)
    origins = {".".join(key): origin for key, origin in run.loaded.origins.items()}
    document = {"settings": run.loaded.settings.model_dump(mode="json"), "origins": origins}
    if run.as_json:
        run.print(document)
    else:
        print(render(run.loaded))


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
