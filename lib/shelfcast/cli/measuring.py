"""Commands that measure and search: backtests, ablations, tuning."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shelfcast.cli.options import Conf, Json, LakeUri, Run, Set, day, opened

if TYPE_CHECKING:
    from shelfcast.measured import Measured
    from shelfcast.pipeline import Listener

bench_app = typer.Typer(help="Measure the shipped configuration against baselines.", no_args_is_help=True)
tune_app = typer.Typer(help="Search for a better configuration of a model.", no_args_is_help=True)


class Protocol(StrEnum):
    """How a file is divided."""

    LEAVE_ONE_OUT = "leave-one-out"


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

    run = opened(conf, set_, lake, None, as_json)
    settings = backtest.part(run.loaded.settings, grain, products)
    days = [day(text.strip()) for given in origins or [] for text in given.split(",")]
    chosen = [*(_plans(text) for text in planned or []), *(backtest.WAYS if ways else ())]
    run.console().print(f"Configuration {backtest.configuration(settings)}", highlight=False)
    _tried(run, lambda terminal: backtest.forecast(settings, days, terminal, chosen))


@bench_app.command("recommend")
def bench_recommend(
    origins: Annotated[
        list[str] | None,
        typer.Option("--origins", "--origin", metavar="DAY,DAY,...", help="Origins; default evaluate.origins."),
    ] = None,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Backtest ranked lists at rolling origins against popularity, personal frequency, item-kNN and Spark ALS."""
    from shelfcast.recommender_bench import configuration, recommend

    run = opened(conf, set_, lake, None, as_json)
    settings = run.loaded.settings
    days = [day(text.strip()) for given in origins or [] for text in given.split(",")]
    run.console().print(f"Configuration {configuration(settings)}", highlight=False)
    with run.terminal() as terminal:
        result = recommend(settings, days, terminal)
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
    return [day(text) for text in (*(origin or []), *(origins.split(",") if origins else []))]


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

    run = opened(conf, set_, lake, None, as_json)
    _tried(run, lambda terminal: ablation(run.loaded.settings, _days(origin, origins), terminal, variant or []))


@bench_app.command("sequence")
def bench_sequence(
    data: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="A line is a user and its items in time order.")
    ],
    protocol: Annotated[
        Protocol, typer.Option(help="A user's last item is the test, the one before it the validation.")
    ] = Protocol.LEAVE_ONE_OUT,
    seeds: Annotated[int, typer.Option(min=1, help="Models from as many seeds; figures are their means.")] = 1,
    final: Annotated[bool, typer.Option("--final", help="Score the test; every such opening is written down.")] = False,
    conf: Conf = None, set_: Set = None, lake: LakeUri = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Train the sequence model on a benchmark file and rank all items for every user, beside simple rivals."""
    from shelfcast.sequence_bench import sequence

    run = opened(conf, set_, lake, None, as_json)
    _tried(run, lambda terminal: sequence(run.loaded.settings, data, protocol.value, seeds, terminal, final=final))


@bench_app.command("ratings")
def bench_ratings(
    data: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="A line is user, item, rating.")],
    final: Annotated[bool, typer.Option("--final", help="Measure on the test.")] = False,
    conf: Conf = None, set_: Set = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Predict explicit ratings that were held out, by biases and factors: the root mean squared error."""
    from shelfcast.ratings_bench import ratings

    run = opened(conf, set_, None, None, as_json)
    _tried(run, lambda _: ratings(data, run.loaded.settings.seed, final=final))


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

    run = opened(conf, set_, lake, None, as_json)
    _tried(run, lambda terminal: tune(run.loaded.settings, _days(origin, origins), trials, terminal))


def _tried(run: Run, made: Callable[[Listener], Measured]) -> None:
    """Run a bench of many trainings; show its tables and print its document as one line."""
    with run.terminal() as terminal:
        result = made(terminal)
    if not run.as_json:
        for table in result.tables:
            Console().print(table)
    print(json.dumps(result.document, default=str))
