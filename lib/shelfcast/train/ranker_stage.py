"""Keeps what teaching the ranker gave beside the unfinished model, so that a restarted run begins behind it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import folder
from shelfcast.models.ranker import Ranker
from shelfcast.train.collective import Collective

_STAGE = "ranker.npz"


@dataclass(frozen=True)
class Taught:
    """
    Attributes:
        epochs: to fit each member of the sequence model anew.
        ranker: None where the log was too short for one.
        values: validation NDCG by member and epoch.
    """

    epochs: list[int]
    ranker: Ranker | None
    values: list[list[float]]


def keep(uri: str, found: Taught) -> None:
    """
    Args:
        uri: of the model that is being made.
    """
    told = folder.encode_json({"epochs": found.epochs, "values": found.values})
    arrays: dict[str, NDArray[Any]] = {"told": np.frombuffer(told, np.uint8)}
    if found.ranker is not None:
        arrays |= {f"ranker/{name}": value for name, value in found.ranker.arrays().items()}
    folder.put(folder.partial(uri), _STAGE, folder.encode_arrays(arrays))


def kept(uri: str, collective: Collective) -> Taught | None:
    """What rank 0 finds there, on every rank; None where nothing was kept."""
    data = collective.agree(folder.get(folder.partial(uri), _STAGE) if collective.first else None)
    if data is None:
        return None
    arrays = folder.decode_arrays(data)
    told = folder.decode_json(arrays.pop("told").tobytes())
    ranker = Ranker.from_arrays(folder.below(arrays, "ranker")) if arrays else None
    return Taught(told["epochs"], ranker, told["values"])
