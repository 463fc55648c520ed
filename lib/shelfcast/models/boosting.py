"""LightGBM as the rival of the forecaster: direct and global, a booster per objective and horizon, on the same windows.

Targets are divided by the position's scale and rows weighted by a power of it, so that series of all sizes teach;
those of the Tweedie deviance stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.errors import ModelError
from shelfcast.models import folder, window_targets, window_tensors
from shelfcast.models.boosting_features import features
from shelfcast.models.window_tensors import Windows

KIND = "boosting"
COLUMNS = {"l1": "lightgbm_l1", "tweedie": "lightgbm_tweedie", "q10": "lightgbm_q10", "q90": "lightgbm_q90"}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "l1": {"objective": "l1"},
    "tweedie": {"objective": "tweedie"},
    "q10": {"objective": "quantile", "alpha": 0.1},
    "q90": {"objective": "quantile", "alpha": 0.9},
}
_OF = {"l1": ("l1",), "tweedie": ("tweedie",), "quantile": ("q10", "l1", "q90")}  # L1 is the quantile at .5
_IN_PIECES = {"tweedie"}  # its log link finds the scale among the features; dividing by it made it worse


@dataclass(frozen=True)
class Data:
    """Rows to fit on: M positions.

    Attributes:
        features: [M, F].
        statics: how many of the last features are categories.
        targets: [M, H] pieces.
        known: [M, H] bool, whether the target lies inside the window.
        scale: [M] pieces.
    """

    features: NDArray[Any]
    statics: int
    targets: NDArray[Any]
    known: NDArray[Any]
    scale: NDArray[Any]


@dataclass(frozen=True)
class Boosting:
    """Boosters with everything that turns gold/windows rows into forecasts.

    Attributes:
        boosters: objective → a booster per horizon.
        vocabularies: static column → values.
        planned: kinds of promotions that are known ahead.
        seasonal: whether the phase of the year is an input.
    """

    boosters: Mapping[str, Sequence[Any]]
    vocabularies: Mapping[str, Sequence[str]]
    planned: Sequence[str]
    seasonal: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of ``forecast``'s arrays."""
        return tuple(COLUMNS[name] for name in self.boosters)

    def forecast(self, table: pa.Table | pd.DataFrame) -> dict[str, NDArray[Any]]:
        """Column of COLUMNS → [N, H] pieces at the last position of each row of gold/windows.

        Nothing is below 0, and quantiles do not cross the median.
        """
        windows = window_tensors.read(table, self.vocabularies, self.seasonal)
        last = np.zeros((len(windows), windows.context), bool)
        last[:, -1] = True
        given, scale = features(windows, last, self.planned), window_tensors.scale(windows)[:, -1]
        found = {
            COLUMNS[name]: np.stack([_predicted(booster, given) for booster in boosters], -1)
            * (1.0 if name in _IN_PIECES else scale[:, None])
            for name, boosters in self.boosters.items()
        }
        for name, keep in (("q10", np.minimum), ("q90", np.maximum)):
            if name in self.boosters:
                found[COLUMNS[name]] = keep(found[COLUMNS[name]], found[COLUMNS["l1"]])
        return found

    def files(self) -> dict[str, bytes]:
        """The model as files; ``load`` reads them back."""
        config = {
            "planned": list(self.planned), "seasonal": self.seasonal,
            "horizons": {name: len(found) for name, found in self.boosters.items()},
        }  # fmt: skip
        texts = {
            f"{name}.{horizon}.txt": booster.model_to_string().encode()
            for name, boosters in self.boosters.items()
            for horizon, booster in enumerate(boosters, 1)
        }
        mappings = {name: list(values) for name, values in self.vocabularies.items()}
        return {"config.json": folder.encode_json(config), "mappings.json": folder.encode_json(mappings), **texts}


def _predicted(booster: Any, given: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.maximum(booster.predict(given, num_threads=1), 0.0))


def load(uri: str) -> Boosting:
    """Finished boosters from their folder.

    Raises:
        ModelError: naming the file that is missing or damaged.
    """
    import lightgbm

    found = folder.load(uri)
    try:
        config = folder.decode_json(found["config.json"])
        boosters = {
            name: [lightgbm.Booster(model_str=found[f"{name}.{h}.txt"].decode()) for h in range(1, horizons + 1)]
            for name, horizons in config["horizons"].items()
        }
        return Boosting(boosters, folder.decode_json(found["mappings.json"]), config["planned"], config["seasonal"])
    except (KeyError, TypeError, ValueError, lightgbm.basic.LightGBMError) as error:
        raise ModelError(f"model {uri}: its files do not fit this shelfcast ({error}); train again") from error


def thinned(windows: Windows, least_sales: int, rows: int, seed: int) -> Windows:
    """As many windows, drawn at random, as hold about ``rows`` positions to fit on; all if they hold no more."""
    found = sum(int((window_targets.weights(part, least_sales) > 0).any(2).sum()) for part in windows.blocks())
    if found <= rows:
        return windows
    chosen = np.random.default_rng(seed).random(len(windows)) < rows / found
    return windows.take(chosen)


def data(windows: Windows, least_sales: int, planned: Sequence[str]) -> Data:
    """Every position that the forecaster is trained at, with its targets inside the window.

    Args:
        least_sales: periods with sales from which a position counts.
        planned: kinds of promotions that are known ahead.
    """
    parts = []
    for part in windows.blocks():
        known = window_targets.weights(part, least_sales) > 0
        chosen = known.any(2)
        scale, targets = window_tensors.scale(part), window_targets.targets(part)
        parts.append((features(part, chosen, planned), targets[chosen], known[chosen], scale[chosen]))
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return Data(joined[0], windows.statics.shape[1], *joined[1:])


def fit(
    given: Data, objectives: Sequence[str], hyper: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, list[Any]]:
    """Boosters per objective and horizon.

    Args:
        objectives: of settings.rivals.
        hyper: LightGBM's parameters, with ``num_boost_round`` and ``scale_power`` besides.
    """
    import lightgbm

    parameters = {k: v for k, v in hyper.items() if k not in ("num_boost_round", "scale_power")}
    width = given.features.shape[1]
    categories = list(range(width - given.statics, width))
    whole = lightgbm.Dataset(
        given.features, categorical_feature=categories, params=parameters, free_raw_data=True
    ).construct()  # binned once for all boosters
    found: dict[str, list[Any]] = {
        name: [] for name in OBJECTIVES if any(name in _OF[objective] for objective in objectives)
    }
    for horizon in range(given.targets.shape[1]):
        rows = np.flatnonzero(given.known[:, horizon])
        part = whole.subset(rows.tolist()).construct()
        target, scale = given.targets[rows, horizon], given.scale[rows]
        for name, boosters in found.items():
            plain = name in _IN_PIECES
            part.set_label(target if plain else target / scale)
            part.set_weight(np.ones_like(scale) if plain else scale ** hyper["scale_power"])
            boosters.append(lightgbm.train({**parameters, **OBJECTIVES[name]}, part, hyper["num_boost_round"]))
        say(f"LightGBM: horizon {horizon + 1}, {', '.join(found)} on {len(rows):,} rows")
    return found
