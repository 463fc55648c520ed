"""Plotly figures as JSON. They carry light colours only; the page swaps them where a dark scheme is preferred."""

import html
from collections.abc import Sequence
from datetime import date, timedelta

import plotly.graph_objects as go

from shelfcast.report.accuracy import Score
from shelfcast.report.demand import Outlook
from shelfcast.report.drivers import Drivers
from shelfcast.report.palette import light

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


def plain(text: str) -> str:
    """Plotly reads tags and entities in its texts: data must not be able to write any."""
    return html.escape(text, quote=False)


def outlook(line: Outlook, *, last: int | None = None, height: int = 260, legend: bool = True) -> str:
    """History, the q10–q90 band, median, mean, what happened, and ticks under promoted periods.

    Args:
        line: what to draw.
        last: periods of history to show; all if None.
        height: pixels.
        legend: whether to explain the marks.
    """
    since = -last if last else 0
    periods, units = line.periods[since:], line.units[since:]
    figure = go.Figure()
    figure.add_scatter(
        x=periods,
        y=units,
        name="sold",
        mode="lines",
        hovertemplate="%{y:,.0f}",
        line={"color": light("ink"), "width": 1.6},
    )
    if line.targets:
        _add_band(figure, line)
    _add_truth(figure, line)
    plans = [day for day in line.promoted if day in {*periods, *line.targets}]
    if plans:
        figure.add_scatter(
            x=plans, y=[0] * len(plans), name="promotion planned", mode="markers", hoverinfo="skip",
            marker={"color": light("plan"), "symbol": "triangle-up", "size": 7}, cliponaxis=False,
        )  # fmt: skip
    if line.targets and periods:
        edge = line.targets[0] - (line.targets[0] - periods[-1]) / 2
        figure.add_shape(
            type="line", x0=edge, x1=edge, y0=0, y1=1, yref="paper", line={"color": light("line"), "dash": "dot"}
        )
    high = max([*units, *line.q90, *line.mean, *(value for value in line.truth if value is not None), 1.0])
    low = min([*units, 0.0])
    figure.update_yaxes(range=[low - 0.04 * (high - low), high + 0.06 * (high - low)], nticks=5)
    shown = [*periods, *line.targets]
    margin = (shown[-1] - shown[0]) / 60 + timedelta(hours=12) if shown else timedelta(0)
    if shown:
        figure.update_xaxes(range=[shown[0] - margin, shown[-1] + margin], showgrid=False, nticks=6)
    return _finish(figure, height=height, legend=legend, hover="x unified")


def _add_band(figure: go.Figure, line: Outlook) -> None:
    none = {"width": 0, "color": light("band")}
    x = line.targets
    if len(x) == 1:  # one period makes no area: give it the width of its neighbours
        x = [x[0] - timedelta(hours=36), x[0] + timedelta(hours=36)]
        low, high = line.q10 * 2, line.q90 * 2
    else:
        low, high = line.q10, line.q90
    figure.add_scatter(x=x, y=high, name="90 % quantile", mode="lines", line=none, showlegend=False)
    figure.add_scatter(x=x, y=low, name="10 to 90 %", mode="lines", line=none, fill="tonexty", fillcolor=light("band"))
    marks = {"color": light("accent"), "size": 6, "symbol": "line-ew", "line": {"width": 2, "color": light("accent")}}
    if line.q50 and line.product is not None:
        median = {"color": light("accent"), "width": 2}
        figure.add_scatter(x=line.targets, y=line.q50, name="median", mode="lines+markers", line=median, marker=marks)
    mean = {"color": light("accent"), "width": 1.6, "dash": "dot"}
    figure.add_scatter(x=line.targets, y=_round(line.mean), name="mean", mode="lines", line=mean)


def _add_truth(figure: go.Figure, line: Outlook) -> None:
    known = [(day, value) for day, value in zip(line.targets, line.truth, strict=True) if value is not None]
    if known:
        figure.add_scatter(
            x=[day for day, _ in known], y=[value for _, value in known], name="then happened", mode="markers",
            marker={"color": light("truth"), "size": 8, "line": {"color": light("card"), "width": 1.5}},
        )  # fmt: skip


def dots(scores: Sequence[Score], name: str, *, digits: int = 3) -> str:
    """One dot per model on a common scale, the best on top, ours in colour."""
    ordered = list(reversed(scores))
    labels = [plain(words(score.model)) for score in ordered]
    colours = [light("accent") if score.ours else light("quiet") for score in ordered]
    figure = go.Figure()
    for label, score, colour in zip(labels, ordered, colours, strict=True):
        stem = {"color": colour, "width": 3 if score.ours else 1.5}
        figure.add_scatter(x=[0, score.value], y=[label, label], mode="lines", line=stem, hoverinfo="skip")
    figure.add_scatter(
        x=[score.value for score in ordered], y=labels, name=plain(name), mode="markers+text",
        marker={"color": colours, "size": [13 if score.ours else 9 for score in ordered], "opacity": 1},
        text=[f"{score.value:.{digits}f}" for score in ordered], textposition="middle right", cliponaxis=False,
        textfont={"color": light("ink"), "size": 12}, hovertemplate=f"%{{y}}: %{{x:.{digits}f}}<extra></extra>",
    )  # fmt: skip
    most = max((score.value for score in ordered), default=1.0)
    least = min((score.value for score in ordered), default=0.0)
    figure.update_xaxes(range=[min(0.0, least), most * 1.16], showgrid=False, showticklabels=False)
    figure.update_yaxes(showgrid=False, ticklabelstandoff=8)
    return _finish(figure, height=44 + 27 * len(ordered), legend=False, hover="closest")


def lines(segments: Sequence[str], series: Sequence[tuple[str, Sequence[float | None], bool]], axis: str) -> str:
    """A line per model over segments in order; ours in colour."""
    figure = go.Figure()
    labels = [plain(segment) for segment in segments]
    for name, values, ours in series:
        colour = light("accent") if ours else light("quiet")
        figure.add_scatter(
            x=labels, y=list(values), name=plain(words(name)), mode="lines+markers",
            line={"color": colour, "width": 2.4 if ours else 1.6, "dash": "solid" if ours else "dash"},
            marker={"size": 7},
        )  # fmt: skip
    figure.update_xaxes(type="category", title={"text": plain(axis), "standoff": 8}, showgrid=False)
    figure.update_yaxes(rangemode="tozero")
    return _finish(figure, height=250, legend=True, hover="x unified")


def pit(shares: Sequence[float]) -> str:
    """Histogram of the probability integral transform with the uniform share that calibration means."""
    tenths = [f".{i}" for i in range(len(shares))]
    figure = go.Figure()
    figure.add_bar(
        x=tenths, y=list(shares), marker={"color": light("accent")}, hovertemplate="from %{x}: %{y:.3f}<extra></extra>"
    )
    uniform = 1 / len(shares)
    figure.add_shape(
        type="line", x0=0, x1=1, xref="paper", y0=uniform, y1=uniform, line={"color": light("truth"), "dash": "dash"}
    )
    figure.update_xaxes(
        showgrid=False, type="category", title={"text": "tenth of the forecast distribution, from", "standoff": 8}
    )
    figure.update_yaxes(range=[0, max(0.16, *shares) * 1.05])
    return _finish(figure, height=250, legend=False, hover="closest")


def shares(drivers: Drivers) -> str:
    """Bars of what drove the forecasts, a colour for each kind of series; the largest group on top."""
    figure = go.Figure()
    labels = [plain(group) for group in reversed(drivers.groups)]
    colours = ("accent", "plan", "quiet")
    for (kind, values), colour in reversed(list(zip(drivers.kinds.items(), colours, strict=False))):
        figure.add_bar(
            y=labels, x=list(reversed(values)), name=plain(kind), orientation="h", marker={"color": light(colour)},
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group")
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(showgrid=False)
    return _finish(figure, height=60 + 18 * len(labels) * len(drivers.kinds), legend=True, hover="closest")


def words(model: str) -> str:
    """A model's stored name as a reader says it."""
    return {"forecaster": "shelfcast", "recommender": "shelfcast"}.get(model, model.replace("_", " "))


def period(day: date) -> str:
    return f"{day:%-d %b %Y}"


def _round(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


def _finish(figure: go.Figure, *, height: int, legend: bool, hover: str) -> str:
    """The common layout, as JSON that may stand inside a script element."""
    axis = {
        "gridcolor": light("line"), "linecolor": light("line"), "zeroline": False, "fixedrange": True,
        "automargin": True, "tickfont": {"color": light("soft"), "size": 11},
    }  # fmt: skip
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    small = {"size": 11, "color": light("soft")}
    text = {"size": 12, "color": light("ink")}
    figure.update_layout(
        template="none", height=height, hovermode=hover, dragmode=False, showlegend=legend, bargap=0.12,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"family": FONT, **text},
        margin={"l": 8, "r": 12, "t": 30 if legend else 8, "b": 8},
        hoverlabel={"bgcolor": light("card"), "bordercolor": light("line"), "font": text},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": small, "traceorder": "normal"},
    )  # fmt: skip
    written = str(figure.to_json())
    for sign in "<>&":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return written
