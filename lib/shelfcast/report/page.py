"""The page itself: facts put into the template, every text from the data escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from shelfcast.report import charts
from shelfcast.report.accuracy import FORECASTER, RECOMMENDER, Metrics, Score, label
from shelfcast.report.demand import Frame, Outlook
from shelfcast.report.drivers import drivers
from shelfcast.report.intake import FATES, Intake
from shelfcast.report.list_accuracy import list_accuracy
from shelfcast.report.lists import Lists
from shelfcast.report.palette import COLOURS, swaps
from shelfcast.report.process import Model, Took
from shelfcast.report.totals import Totals

FORECAST_METRICS = {
    "wape": "WAPE", "wape_rounded": "WAPE, rounded", "rmse": "RMSE of the mean", "bias": "Bias", "pinball": "Pinball",
}  # fmt: skip
RECENT = 26  # periods of history on a series' chart


@dataclass(frozen=True)
class Facts:
    """Everything the page shows."""

    run_id: str
    as_of: date
    at: Frame
    intake: Intake
    total: Outlook | None
    totals: Totals
    chosen: list[Outlook]
    worst: list[Outlook]
    forecast_series: int
    metrics: Metrics
    lists: Lists
    steps: list[Took]
    models: list[Model]
    published: Mapping[str, int]
    smallest_group: int


@dataclass(frozen=True)
class Figure:
    """A headline figure."""

    label: str
    value: str
    aside: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Segment:
    """A part of the series: its size, our figure, the rivals', and how often the truth fell below our .9 quantile."""

    label: str
    size: float | None
    ours: float
    best: Score | None
    statistical: Score | None
    boosted: Score | None
    covered: float | None


@dataclass(frozen=True)
class Way:
    """One set of plans known ahead: our figure, the rival's that was trained, the 95 % interval of their difference."""

    planned: str
    ours: float
    boosted: Score | None
    interval: tuple[float, float] | None


def render(facts: Facts) -> str:
    """The page as HTML, one file without references to others."""
    template = _environment().get_template("page.html.j2")
    arrived = sum(value is not None for value in facts.total.truth) if facts.total else 0
    return template.render(
        as_of=facts.as_of, at=facts.at, run_id=facts.run_id, release=_release(), figures=_figures(facts),
        intake=facts.intake, fates=FATES, total=facts.total, totals=facts.totals, arrived=arrived,
        total_chart=_safe(charts.outlook(facts.total, height=360)) if facts.total else None,
        chosen=facts.chosen, worst=facts.worst, promoted=any(line.promoted for line in facts.chosen),
        **_accuracy(facts.metrics), **_lists(facts.metrics, facts.smallest_group), lists=facts.lists,
        steps=facts.steps, fresh=[one for one in facts.steps if not one.reused], models=facts.models,
        published=facts.published, smallest=facts.smallest_group,
        colours=COLOURS, swaps=swaps(), plotly=_safe(get_plotlyjs()),
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("shelfcast.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "day": charts.period, "whole": whole, "decimal": decimal, "signed_percent": signed_percent,
        "duration": duration, "words": charts.words,
        "outlook": lambda line: _safe(charts.outlook(line, last=RECENT, height=190, legend=False)),
    }  # fmt: skip
    return environment


def _safe(text: str) -> Markup:
    """Marks what may stand unescaped: Plotly's library, and figures in which no angle bracket is left."""
    return Markup(text)  # noqa: S704


def _release() -> str:
    try:
        return version("shelfcast")
    except PackageNotFoundError:
        return "from a checkout"


def _figures(facts: Facts) -> list[Figure]:
    metrics, found = facts.metrics, [Figure("As of", f"{facts.as_of:%-d %b}", f"{facts.as_of:%Y}, the last day known")]
    if facts.forecast_series:
        ahead = f"{len(facts.at.targets)} {facts.at.unit}s ahead each"
        found.append(Figure("Series forecast", whole(facts.forecast_series), ahead))
    if facts.lists.users:
        found.append(Figure("Shoppers with a list", whole(facts.lists.users)))
    wape, best = metrics.value(FORECASTER, "wape"), metrics.best_baseline("wape", FORECASTER)
    if wape is not None:
        beside = f"best baseline {decimal(best.value)} ({charts.words(best.model)})" if best else ""
        found.append(Figure("WAPE", decimal(wape), beside))
    added = metrics.value_added()
    if added is not None:
        tone = "good" if added > 0 else "poor"
        found.append(Figure("Forecast value added", signed_percent(added), "error saved", tone))
    shares = metrics.pit()
    if shares:
        gap = max(abs(share - 0.1) for share in shares)
        found.append(Figure("Calibration", f"±{decimal(gap)}", "furthest of ten equal shares"))
    recall, bar = metrics.value(RECOMMENDER, "recall@10"), metrics.value("personal_frequency", "recall@10")
    if recall is not None:
        beside = f"personal frequency {decimal(bar)}" if bar is not None else ""
        found.append(Figure("Recall@10", decimal(recall), beside))
    if facts.intake.read:
        share = facts.intake.accounted / facts.intake.read
        closes = all(flow.closes for flow in facts.intake.flows)
        beside = "all accounted for" if closes else f"{share:.2%} accounted for"
        found.append(Figure("Records read", whole(facts.intake.read), beside, "" if closes else "poor"))
    return found


def _accuracy(metrics: Metrics) -> dict[str, Any]:
    heads = {name: head for name, head in FORECAST_METRICS.items() if metrics.ranked(name, FORECASTER)}
    rows, shares = metrics.table(list(heads), FORECASTER), metrics.pit()
    scores = metrics.ranked("wape", FORECASTER)
    segments = metrics.segments("wape", FORECASTER)
    return {
        "forecasts": rows if scores else [],
        "metric_heads": list(heads.values()),
        "verdict": _verdict(metrics),
        "wape_chart": _safe(charts.dots(scores, "WAPE")),
        "pit_chart": _safe(charts.pit(shares)) if shares else None,
        "pit_gap": max((abs(share - 0.1) for share in shares), default=None),
        "horizon_chart": _horizons(metrics, segments.pop("horizon", [])),
        "segments": [(name, _segments(metrics, parts)) for name, parts in sorted(segments.items())],
        "boosted": metrics.best_of("wape", FORECASTER, boosted=True) is not None,
        "covered": metrics.value(FORECASTER, "coverage_q90") is not None,
        "ways": _ways(metrics),
        "drivers": (found := drivers(metrics)),
        "drivers_chart": _safe(charts.shares(found)) if found else None,
    }


def _verdict(metrics: Metrics) -> str:
    wape, added = metrics.value(FORECASTER, "wape"), metrics.value_added()
    best = metrics.best_baseline("wape", FORECASTER)
    if wape is None:
        return "The forecaster itself was not measured; its baselines were."
    said = f"The median was off by {wape:.1%} of all units sold."
    if best is None or added is None:
        return said
    better = "less" if added > 0 else "more"
    said += f" That is {abs(added):.1%} {better} error than the best of the baselines, {charts.words(best.model)}."
    interval = metrics.interval()
    if interval is None:
        return said
    low, high = (f"{end:+.3f}".replace("-", "−") for end in interval)
    return f"{said} The difference in WAPE lies between {low} and {high} (95 %, paired over series)."


def _horizons(metrics: Metrics, segments: Sequence[str]) -> Markup | None:
    """The forecaster and the best baseline over all, by horizon."""
    if len(segments) < 2:
        return None
    best = metrics.best_baseline("wape", FORECASTER)
    models = [(FORECASTER, True), *([(best.model, False)] if best else [])]
    series = [(model, [metrics.value(model, "wape", part) for part in segments], ours) for model, ours in models]
    return _safe(charts.lines([label(part) for part in segments], series, "horizon"))


def _segments(metrics: Metrics, parts: Sequence[str]) -> list[Segment]:
    return [
        Segment(
            label(part), metrics.size(FORECASTER, part), ours, metrics.best_baseline("wape", FORECASTER, part),
            metrics.best_of("wape", FORECASTER, part, boosted=False),
            metrics.best_of("wape", FORECASTER, part, boosted=True), metrics.value(FORECASTER, "coverage_q90", part),
        )
        for part in parts
        if (ours := metrics.value(FORECASTER, "wape", part)) is not None
    ]  # fmt: skip


def _ways(metrics: Metrics) -> list[Way]:
    """The run's own way first; nothing where no backtest compared several."""
    found = {"as configured": metrics, **metrics.ways} if metrics.ways else {}
    return [
        Way(
            planned, ours, of_way.best_of("wape", FORECASTER, boosted=True),
            of_way.interval("lightgbm_") or of_way.interval(),
        )
        for planned, of_way in found.items()
        if (ours := of_way.value(FORECASTER, "wape")) is not None
    ]  # fmt: skip


def _lists(metrics: Metrics, smallest: int) -> dict[str, Any]:
    found = list_accuracy(metrics, smallest)
    return {**found, "recall_chart": _safe(found["recall_chart"])}


def whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def signed_percent(value: float) -> str:
    return f"{value:+.1%}".replace("-", "−")


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
