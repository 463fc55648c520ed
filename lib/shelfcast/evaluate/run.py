"""The step: measures a published slice whose truth has arrived and writes the figures to ops/metrics."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError, TableMissing
from shelfcast.evaluate import baselines, bootstrap, compared, forecast_metrics, recommendations, sums, totals, truth
from shelfcast.evaluate.compared import Protocol
from shelfcast.evaluate.forecast_metrics import Figure
from shelfcast.evaluate.purchases import asked
from shelfcast.evaluate.truth import Span
from shelfcast.lake.ledger import Ledger, way_mark
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.models import boosting


def run(step: Step) -> Outcome:
    """Measure the forecasts and recommendations of ``step.as_of`` against the periods after it.

    Forecasts are measured on the horizons that have arrived, recommendations once all have. Where nothing has
    arrived, that is said and nothing is written.

    Raises:
        ConfigError: for a baseline that does not exist.
        TableMissing: if nothing was scored at as_of.
        ReconciliationError: if an active series has no window.
    """
    as_of = step.day()
    baselines.check(step.settings.evaluate.baselines)
    events = step.read("silver/events")
    newest = truth.newest_day(events, as_of)
    counts: dict[str, Any] = {}
    rows = [*_all_forecasts(step, events, newest, counts), *_recommendations(step, events, newest, counts)]
    if not counts:
        raise TableMissing(
            f"neither gold/forecasts nor gold/recommendations holds anything of as_of {as_of}: "
            f"run score --as-of {as_of} first"
        )
    if not rows:
        return Outcome(counts=counts)
    Ledger(step.lake.uri).replace_metrics(as_of, rows, step.settings.evaluate.way)
    written = content_id(step.fingerprint, len(rows))
    return Outcome(rows_out=len(rows), counts=counts, contents={"ops/metrics": {as_of.isoformat(): written}})


def _slice(step: Step, table: str) -> DataFrame:
    return step.read(table).where(F.col("as_of") == F.lit(step.day()))


def _grain(frame: DataFrame, grain: str) -> DataFrame:
    return frame.where(F.col("grain") == grain)


def _all_forecasts(
    step: Step, events: DataFrame, newest: date | None, counts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Rows of every grain's forecasts; segments of further grains carry the grain's name."""
    if not step.has("gold/forecasts"):
        return
    forecasts = _slice(step, "gold/forecasts").where(~F.col("cumulative"))
    for number, grain in enumerate(step.settings.demand.grains):
        span, version = truth.span(forecasts, grain)
        if not span.starts:
            continue
        known = span.arrived(newest)
        counts[grain] = {"periods": len(span.starts), "arrived": len(known.starts)}
        unit = "weeks" if span.days > 1 else "days"
        step.say(f"{grain}: {len(known.starts)} of {len(span.starts)} {unit} after {step.day()} have arrived")
        if known.starts:
            found = [*_forecasts(step, _grain(forecasts, grain), known, events), *totals.figures(step, events, known)]
            yield from _rows(step, found, forecast_metrics.MODEL, version, "" if number == 0 else f"{grain}/")


def _forecasts(step: Step, forecasts: DataFrame, known: Span, events: DataFrame) -> list[Figure]:
    """Figures of one grain's forecasts on the horizons that have arrived."""
    settings = step.settings
    measured = compared.eligible(_grain(_slice(step, "gold/series"), known.grain), settings.evaluate.min_sale_weeks)
    windows = _grain(step.read("gold/windows"), known.grain).where(F.col("cutoff") == F.lit(known.cutoff))
    protocol = _protocol(step)
    histories = compared.histories(windows, measured, protocol)
    parts, longest, series = compared.deciles(histories)
    _check_windows(measured.count(), series, known)
    if not series:
        step.say(f"{known.grain}: no series sold in {settings.evaluate.min_sale_weeks} periods: nothing to measure")
        return []
    protocol = _without_season(step, protocol, longest)
    baseline = compared.baseline_rows(histories, protocol, sorted(known.starts))
    sold = truth.sold_units(events, known)
    rows = compared.compared(baseline, forecasts, sold, parts, protocol).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        return _measured(rows, protocol, series)
    finally:
        rows.unpersist()


def _protocol(step: Step) -> Protocol:
    settings, boosters = step.settings, step.models.get(boosting.KIND, "")
    names = baselines.check(settings.evaluate.baselines)
    return Protocol(
        names, settings.windows.horizon, settings.evaluate.season, settings.windows.context, settings.seed,
        boosters, boosting.load(boosters).columns if boosters else (),
    )  # fmt: skip


def _measured(rows: DataFrame, protocol: Protocol, series: int) -> list[Figure]:
    """Every figure of the compared rows."""
    points = protocol.points
    cells = sums.summed(rows, points, sums.rival_quantiles(protocol.columns)).toPandas()
    (scaled,) = sums.scaled_errors(rows, points).collect()
    rivals = {"": forecast_metrics.best_baseline(cells, points)}
    if protocol.boosters:
        rivals["statistical_"] = forecast_metrics.best_baseline(cells, protocol.names)
    if boosting.COLUMNS["l1"] in points:
        rivals["lightgbm_"] = boosting.COLUMNS["l1"] + baselines.ROUNDED
    named = sorted(set(rivals.values()))
    errors = bootstrap.errors(rows, named, series, protocol.seed).toPandas()
    return [
        *forecast_metrics.figures(cells, points),
        Figure(forecast_metrics.MODEL, "series", "all", float(series)),
        *forecast_metrics.scaled(scaled.asDict(), points),
        *forecast_metrics.against(rivals, bootstrap.intervals(errors, named, protocol.seed)),
    ]


def _check_windows(wanted: int, found: int, known: Span) -> None:
    if wanted != found:
        raise ReconciliationError(
            f"gold/windows has {found} of the {wanted} active {known.grain} series that evaluation measures at cutoff "
            f"{known.cutoff}: run features again for this as_of"
        )


def _without_season(step: Step, protocol: Protocol, longest: int) -> Protocol:
    names = compared.usable(protocol.names, longest, protocol.season)
    if names != list(protocol.names):
        step.say(
            f"seasonal_naive is left out: it needs {protocol.season} periods of history, the longest has {longest}"
        )
    return replace(protocol, names=names)


def _recommendations(
    step: Step, events: DataFrame, newest: date | None, counts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Rows of the ranked lists, once the whole horizon after as_of has arrived."""
    if not step.has("gold/recommendations") or step.settings.evaluate.way is not None:
        return
    lists = _slice(step, "gold/recommendations")
    version = lists.select("model_version").first()
    if version is None:
        return
    question = asked(step.settings, step.day())
    counts["recommendations"] = {"arrived": newest is not None and newest >= question.end}
    if not counts["recommendations"]["arrived"]:
        step.say(f"recommendations are measured when everything up to {question.end} has arrived")
        return
    found = recommendations.measure(events, lists, question, step.settings.seed)
    if not found:
        step.say(f"nobody with a history bought anything after {step.day()}: recommendations are not measured")
    yield from _rows(step, found, recommendations.MODEL, version["model_version"], "")


def _rows(
    step: Step, found: Iterable[Figure], model: str, version: str | None, prefix: str
) -> Iterator[dict[str, Any]]:
    """Rows of ops/metrics; where several ways of knowing plans are compared, models carry the way's name."""
    mark = way_mark(step.settings.evaluate.way)
    return rows(found, step.day(), step.run_id, {model: version}, prefix=prefix, mark=mark)


def rows(
    found: Iterable[Figure], as_of: date, run_id: str, versions: Mapping[str, str | None], *,
    prefix: str = "", mark: str = "",
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows of ops/metrics.

    Args:
        versions: model → the folder it came from, of those that were trained.
        prefix: what segments begin with.
        mark: what the names of models end with.
    """
    for figure in found:
        yield {
            "as_of": as_of,
            "model": figure.model + mark,
            "model_version": versions.get(figure.model) or "-",
            "metric": figure.metric,
            "segment": prefix + figure.segment,
            "value": figure.value,
            "baseline": figure.baseline + mark if figure.baseline else None,
            "run_id": run_id,
        }
