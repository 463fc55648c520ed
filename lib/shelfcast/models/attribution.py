"""What drove a forecast: integrated gradients of its mean.

Method: Sundararajan, Taly and Yan 2017, Axiomatic attribution for deep networks.
The path leads from a plain baseline to what the network was given; a contribution is the gradient along it times the
distance, so contributions add up to forecast − baseline (completeness) but for the error of the quadrature: kinks of
the network make it a per cent or two, and it is shared out by the contributions' sizes.

The baseline of a series is itself without events: it sells its scale, the mean of its last 13 periods, every period, at
its average price and discount, is never promoted, has an ordinary calendar and unknown statics. Age stays.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray
from scipy import special

from shelfcast.lake.plans import KINDS, PLANS
from shelfcast.models import channels, forecaster, window_tensors
from shelfcast.models.calibration import Traits
from shelfcast.models.distributions import Zinb
from shelfcast.models.trained_forecaster import TrainedForecaster
from shelfcast.models.window_tensors import Inputs, Tensors, Windows

GROUPS = ("history", "price", "promotion", "calendar", "statics")


class Attribution(NamedTuple):
    """Of N series; with ``summed`` H is 1, the sum over the horizons.

    forecast, baseline: means, [N, H].
    contributions: [N, H, G] in the order of GROUPS; they add up to forecast − baseline.
    error: [N, H], what they lacked of it before it was shared out.
    """

    forecast: NDArray[Any]
    baseline: NDArray[Any]
    contributions: NDArray[Any]
    error: NDArray[Any]


def attributed(
    model: TrainedForecaster, table: pa.Table | pd.DataFrame, *, nodes: int = 64, summed: bool = False
) -> Attribution:
    """Contributions to the calibrated mean of rows of gold/windows that have sold.

    Args:
        nodes: of the Gauss-Legendre quadrature along the path.
        summed: explain the sum over the horizons, at the cost of one horizon.
    """
    windows = window_tensors.read(table, model.vocabularies, model.inputs.seasonal)
    given, plain = (window_tensors.tensors(each, model.norm, model.inputs) for each in (windows, baseline(windows)))
    path = _Path(model, given, plain, window_tensors.traits(windows, given, model.context), summed)
    places, weights = special.roots_legendre(nodes)
    found = np.zeros((*given.scale.shape[:1], 1 if summed else model.horizon, len(GROUPS)))
    for place, weight in zip(places, weights, strict=True):
        found += 0.5 * weight * np.asarray(path.contributions(tf.constant(0.5 * (1.0 + place), tf.float32)))
    forecast, plainly = (np.asarray(path.mean_at(tf.constant(end)), np.float64) for end in (1.0, 0.0))
    error = forecast - plainly - found.sum(-1)
    sizes = np.abs(found)
    shares = sizes / np.maximum(sizes.sum(-1, keepdims=True), 1e-12)
    return Attribution(forecast, plainly, found + error[..., None] * shares, error)


def baseline(windows: Windows) -> Windows:
    """The same series without events, as the module says."""
    count, context = windows.units.shape
    real = np.arange(context)[None] >= (context - windows.length[:, None])
    recent = real & (np.arange(context)[None] >= context - channels.SCALE_PERIODS)
    priced = real & (windows.price > 0)

    def constant(values: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
        mean = (values * over).sum(1) / np.maximum(over.sum(1), 1)
        return np.asarray(np.repeat(mean[:, None], context, 1) * real, np.float32)

    planned = np.repeat(windows.planned.mean(1, keepdims=True), windows.planned.shape[1], 1)
    planned[..., [window_tensors.PLANNED.index(column) for column in PLANS]] = 0.0
    return replace(
        windows, units=constant(window_tensors.demand(windows), recent), orders=constant(windows.orders, recent),
        price=constant(windows.price, priced), discount=constant(windows.discount, priced),
        available=np.ones((count, context), np.float32), planned=planned.astype(np.float32),
    )  # fmt: skip


def group_of(channel: str) -> str:
    """The group of GROUPS that a column of ``Inputs.history`` or ``Inputs.future`` belongs to."""
    if channel in channels.GROUPS["price"]:
        return "price"
    if channel == "log_plain_lift":  # what a series that is never promoted has as well
        return "history"
    if channel in channels.GROUPS["promotions"] or channel in PLANS:
        return "promotion"
    return "calendar" if channel in (*window_tensors.PLANNED, "year_sine", "year_cosine") else "history"


def _places(names: Sequence[str]) -> Any:
    """[F, G]: 1 where a channel belongs to a group."""
    return tf.constant([[float(group_of(name) == group) for group in GROUPS] for name in names])


class _Path:
    """The straight line from the baseline's tensors to the given ones, and the gradients along it."""

    def __init__(self, model: TrainedForecaster, given: Tensors, plain: Tensors, traits: Traits, summed: bool) -> None:
        self.networks, self.summed, self.horizon = model.networks, summed, model.horizon
        self.started, self.scale = tf.constant(given.started), tf.constant(given.scale[:, -1:])
        embedded = [
            (network.embed(tf.zeros_like(given.statics)), network.embed(tf.constant(given.statics)))
            for network in self.networks
        ]
        self.start = [tf.constant(plain.history), tf.constant(plain.planned), *(pair[0] for pair in embedded)]
        end = [tf.constant(given.history), tf.constant(given.planned), *(pair[1] for pair in embedded)]
        self.way = [there - here for here, there in zip(self.start, end, strict=True)]
        self.history, self.planned = _places((*model.inputs.history, "started")), _places(model.inputs.future)
        self.zero, self.factor = _tilts(model, traits)
        self.contributions = tf.function(self._contributions, input_signature=[tf.TensorSpec([])])
        self.mean_at = tf.function(lambda place: self._mean(self._at(place)), input_signature=[tf.TensorSpec([])])

    def _at(self, place: Any) -> list[Any]:
        return [here + place * way for here, way in zip(self.start, self.way, strict=True)]

    def _mean(self, point: Sequence[Any]) -> Any:
        """[N, H]: expectation of the calibrated distribution; [N, 1] if summed."""
        history, planned, *embedded = point
        raw = tf.add_n(
            [
                network((history, planned, each, self.started), last=True)
                for network, each in zip(self.networks, embedded, strict=True)
            ]
        ) / float(len(self.networks))
        logit, mean, *_ = forecaster.parameters(raw, self.scale)
        expected = tf.sigmoid(-logit[:, 0] - self.zero) * mean[:, 0] * self.factor
        return tf.reduce_sum(expected, 1, keepdims=True) if self.summed else expected

    def _contributions(self, place: Any) -> Any:
        """[N, H, G]: gradient at a place of the path times the way."""
        point = self._at(place)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(point)
            mean = self._mean(point)
            each = tf.unstack(mean, num=1 if self.summed else self.horizon, axis=1)
        return tf.stack([self._grouped(tape.gradient(one, point, unconnected_gradients="zero")) for one in each], 1)

    def _grouped(self, gradients: Sequence[Any]) -> Any:
        history, planned, *statics = (slope * way for slope, way in zip(gradients, self.way, strict=True))
        of_statics = tf.add_n([tf.reduce_sum(one, 1) for one in statics])[:, None]
        past, ahead = tf.reduce_sum(history, 1) @ self.history, tf.reduce_sum(planned, 1) @ self.planned
        last = tf.one_hot([GROUPS.index("statics")], len(GROUPS))
        return past + ahead + of_statics * last


def _tilts(model: TrainedForecaster, traits: Traits) -> tuple[Any, Any]:
    """What the calibration adds to the logit of the zero share and multiplies the count's mean by, [N, H]."""
    one = np.ones((len(traits.scale), model.horizon))
    tilted = model.calibrations.corrected(Zinb(0.5 * one, one, one), traits)
    return tf.constant(special.logit(tilted.zero), tf.float32), tf.constant(tilted.mean, tf.float32)


def promoted(table: pa.Table | pd.DataFrame, inputs: Inputs, context: int) -> NDArray[Any]:
    """[N]: whether a promotion that the network knows of is planned for the horizon."""
    windows = window_tensors.read(table, {}, inputs.seasonal)
    known = [column for kind in inputs.planned for column in KINDS[kind]]
    places = [window_tensors.PLANNED.index(column) for column in known]
    return np.asarray((windows.planned[:, context:, places] > 0).any((1, 2)))
