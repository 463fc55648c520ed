"""A finished forecaster: its folder written and read, and forecasts for rows of gold/windows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.errors import ModelError
from shelfcast.models import distributions, folder, window_tensors
from shelfcast.models.calibration import Calibrations, Traits
from shelfcast.models.distributions import Zinb
from shelfcast.models.window_tensors import Inputs

FILES = ("config.json", "mappings.json", "normalisation.json", "weights.npz")
LEVELS = (0.1, 0.5, 0.9)


class Forecasts(NamedTuple):
    """Of N series and H horizons: first the single horizons, then the sums over 1..h.

    quantiles [N, 2, H, 3] at LEVELS, whole numbers; mean [N, 2, H]; distribution, arrays [N, 2, H].
    """

    quantiles: NDArray[Any]
    mean: NDArray[Any]
    distribution: Zinb


@dataclass(frozen=True)
class TrainedForecaster:
    """Networks with everything that turns gold/windows rows into forecasts.

    Attributes:
        networks: the members, averaged in their raw heads.
        vocabularies: static column → values.
        norm: mean and deviation per input.
        inputs: what of the windows the networks are given.
        calibrations: of the distributions, fitted at an earlier origin.
        correlation: between two horizons of a series, for the sums.
        context, horizon: of the windows it was trained on.
    """

    networks: Sequence[Any]
    vocabularies: Mapping[str, Sequence[str]]
    norm: Mapping[str, Sequence[float]]
    inputs: Inputs
    calibrations: Calibrations
    correlation: float
    context: int
    horizon: int

    def forecast(self, table: pa.Table | pd.DataFrame) -> Forecasts:
        """Forecasts at the last position of each row; one call of the network per member."""
        windows = window_tensors.read(table, self.vocabularies, self.inputs.seasonal)
        if len(windows) and (windows.context, windows.horizon) != (self.context, self.horizon):
            raise ModelError(
                f"the model was trained on windows of context {self.context} and horizon {self.horizon}, gold/windows "
                f"has {windows.context} and {windows.horizon}: build the features with its settings, or train again"
            )
        given = window_tensors.tensors(windows, self.norm, self.inputs)
        return self._finished(self._raw(given), window_tensors.traits(windows, given, self.context))

    def _raw(self, given: window_tensors.Tensors) -> NDArray[Any]:
        inputs = (given.history, given.planned, given.statics, given.started)
        return np.asarray(np.mean([last_position(network, inputs) for network in self.networks], axis=0))

    def _finished(self, raw: NDArray[Any], traits: Traits) -> Forecasts:
        single = self.calibrations.corrected(distribution_of(raw, traits.scale[:, None]), traits)
        mean = distributions.expectation(*single)
        sums = distributions.cumulative(*single, self.correlation)
        both = Zinb(*(np.stack([a, b], 1) for a, b in zip(single, sums, strict=True)))
        return Forecasts(
            quantiles=distributions.quantiles(LEVELS, *both),
            mean=np.stack([mean, np.cumsum(mean, -1)], 1),
            distribution=both,
        )

    def files(self) -> dict[str, bytes]:
        """The model as files; ``load`` reads them back."""
        arrays = {
            f"{member}/{index}": variable.numpy()
            for member, network in enumerate(self.networks)
            for index, variable in enumerate(network.weights)
        }
        shape = self.networks[0].shape.as_dict()
        config = {
            "shape": shape, "members": len(self.networks), "inputs": asdict(self.inputs),
            "calibrations": self.calibrations.as_dict(), "correlation": self.correlation,
            "context": self.context, "horizon": self.horizon, "family": "zinb",
        }  # fmt: skip
        return {
            "config.json": folder.encode_json(config),
            "mappings.json": folder.encode_json({name: list(values) for name, values in self.vocabularies.items()}),
            "normalisation.json": folder.encode_json(dict(self.norm)),
            "weights.npz": folder.encode_arrays(arrays),
        }


def distribution_of(raw: NDArray[Any], scale: NDArray[Any]) -> Zinb:
    """Raw heads [N, 1, H, 4] and scale [N, 1] → distribution, arrays [N, H]."""
    from shelfcast.models import forecaster

    logit, mean, dispersion, _ = (np.asarray(part, np.float64)[:, 0] for part in forecaster.parameters(raw, scale))
    return Zinb(1.0 / (1.0 + np.exp(-logit)), mean, dispersion)


def last_position(network: Any, inputs: Sequence[Any]) -> NDArray[Any]:
    """[N, 1, H, 4]: the raw heads at the last position, by a graph that is traced once per network."""
    graph = getattr(network, "last_position_graph", None)
    if graph is None:
        import tensorflow as tf

        from shelfcast.models.forecaster import signature

        graph = tf.function(lambda *given: network(given, last=True), input_signature=signature(network.shape))
        network.last_position_graph = graph
    return np.asarray(graph(*inputs))


def load(uri: str) -> TrainedForecaster:
    """A finished model from its folder.

    Raises:
        ModelError: naming the file that is missing or damaged.
    """
    found = folder.load(uri, FILES)
    from shelfcast.models import forecaster

    try:
        config = folder.decode_json(found["config.json"])
        arrays = folder.decode_arrays(found["weights.npz"])
        shape = forecaster.Shape.of(config["shape"])
        networks = [forecaster.built(shape, seed=0) for _ in range(config["members"])]
        for member, network in enumerate(networks):
            for index, variable in enumerate(network.weights):
                variable.assign(arrays[f"{member}/{index}"])
        return TrainedForecaster(
            networks, folder.decode_json(found["mappings.json"]), folder.decode_json(found["normalisation.json"]),
            Inputs.of(config["inputs"]), Calibrations.of(config["calibrations"]), config["correlation"],
            config["context"], config["horizon"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"model {uri}: its files do not fit this shelfcast ({type(error).__name__}: {error}); train again"
        ) from error
