"""What each rank of a trial does: train one configuration at an earlier origin and measure it on what then happened."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shelfcast.errors import TrainingError
from shelfcast.models import distributions, window_tensors
from shelfcast.models.rolled_back import rolled_back
from shelfcast.models.trained_forecaster import distribution_of, last_position
from shelfcast.models.window_tensors import Windows
from shelfcast.settings import Forecaster as Hyper
from shelfcast.train.collective import Collective
from shelfcast.train.forecaster_fit import Fit, share_of
from shelfcast.train.windows_share import Share, WindowsShare

_SCORED = 2048  # series a batch where nothing is learnt


def work(payload: dict[str, Any], collective: Collective) -> dict[str, Any]:
    """Entry of the launcher.

    The ranks train on windows that end at the origin (``models.rolled_back``), so neither a gradient nor the inputs'
    mean and deviation can have seen anything later; all configured epochs are trained, none is chosen by its result.
    What then happened is looked at once, after the last epoch, for series with enough periods with sales by then.

    Args:
        payload: lake, version (of gold/windows), chains (one grain → cutoffs as ISO dates, the newest last), hyper
            (section forecaster of the configuration), seed, rolled_back (periods from the origin to the newest
            cutoff, at least the horizon), min_sale_periods (of the series that are measured).

    Returns:
        nll (mean negative log-likelihood a target), wape of the median, rmse and bias of the mean, all before
        calibration; series, epochs and seconds spent in them.

    Raises:
        TrainingError: if no series has enough sales at the origin.
    """
    hyper = Hyper.model_validate(payload["hyper"])
    reader = WindowsShare(payload["lake"], payload["version"], payload["chains"], collective)
    whole = share_of(reader, hyper)
    share = at_origin(whole, payload["rolled_back"], collective)
    asked = [len(truth) for _, truth in _asked(whole, payload["rolled_back"], payload["min_sale_periods"])]
    if not collective.sum(sum(asked)):
        raise TrainingError(
            f"no series has {payload['min_sale_periods']} periods with sales (evaluate.min_sale_weeks) at an origin "
            f"{payload['rolled_back']} periods before {max(reader.newest.values())}: choose later origins"
        )
    networks, epochs, seconds = _trained(share, hyper, payload["seed"], collective)
    found = _measured(whole, share, networks, payload, collective)
    return {**found, "epochs": epochs, "seconds": round(seconds, 1)}


def at_origin(whole: Share, periods: int, collective: Collective) -> Share:
    """The share as it was ``periods`` before the newest cutoff, its normalisation included."""
    try:
        windows = rolled_back(whole.windows, periods)
    except ValueError as error:
        raise TrainingError(f"{error}: choose origins nearer to each other, or a longer windows.context") from error
    moments = collective.sum(window_tensors.moments(windows, whole.inputs))
    return replace(whole, windows=windows, norm=window_tensors.normalisation(moments))


def _trained(share: Share, hyper: Hyper, seed: int, collective: Collective) -> tuple[list[Any], int, float]:
    """The members, how many epochs each was trained, and the seconds they took."""
    networks, epochs, seconds = [], 0, 0.0
    for member in range(hyper.seeds):
        keras.backend.clear_session()
        fit = Fit(share, hyper, seed + member, 0, collective)
        epochs = fit.epochs if fit.steps else 0
        for number in range(1, epochs + 1):
            loss, took = fit.epoch(number)
            seconds += took
            collective.say(f"member {member + 1} of {hyper.seeds}, epoch {number} of {epochs}: loss {loss:.4f}")
        networks.append(fit.network)
    return networks, epochs, seconds


def _measured(
    whole: Share, share: Share, networks: Sequence[Any], payload: dict[str, Any], collective: Collective
) -> dict[str, Any]:
    """Figures over all ranks of what the origin's newest windows forecast."""
    sums = np.zeros(7)
    for given, truth in _asked(whole, payload["rolled_back"], payload["min_sale_periods"]):
        tensors = window_tensors.tensors(given, share.norm, share.inputs)
        inputs = (tensors.history, tensors.planned, tensors.statics, tensors.started)
        raw = np.mean([last_position(network, inputs) for network in networks], axis=0)
        zinb = distribution_of(raw, tensors.scale[:, -1:])
        mean = distributions.expectation(*zinb)
        likelihood = distributions.negative_log_likelihood(truth, *zinb)
        sums += [
            float(np.sum(likelihood)), truth.size, float(np.abs(truth - distributions.quantile(0.5, *zinb)).sum()),
            float(truth.sum()), float(mean.sum()), float(((truth - mean) ** 2).sum()), len(truth),
        ]  # fmt: skip
    likelihood, count, missed, sold, expected, squares, series = collective.sum(sums)
    return {
        "nll": float(likelihood / max(count, 1)),
        "wape": float(missed / max(sold, 1e-9)),
        "rmse": float(np.sqrt(squares / max(count, 1))),
        "bias": float((expected - sold) / max(sold, 1e-9)),
        "series": int(series),
    }


def _asked(whole: Share, periods: int, least_sales: int) -> Iterator[tuple[Windows, NDArray[Any]]]:
    """Batches of newest windows at the origin with enough periods with sales, and the units [N, H] that followed."""
    newest = whole.windows.take(whole.windows.newest)
    origin = whole.context - periods
    begun = newest.take((newest.units[:, :origin] > 0).sum(1) >= least_sales)
    for start in range(0, len(begun), _SCORED):
        part = begun.take(slice(start, start + _SCORED))
        truth = part.units[:, origin : origin + whole.horizon].astype(np.float64)
        yield rolled_back(part, periods), truth
