"""Checkpoints of a training run, so that a killed run goes on where it stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shelfcast.models import folder
from shelfcast.train.collective import Collective

_FILE = "checkpoint{of}.npz"


@dataclass(frozen=True)
class Checkpoint:
    """The newest state of the model being trained for ``uri``; the model's version is part of the URI, so a
    checkpoint of another configuration, seed or input is never found.

    Attributes:
        of: what is trained, where one run trains several things.
    """

    uri: str
    of: str = ""

    def save(self, collective: Collective, variables: Sequence[Any], state: dict[str, Any]) -> None:
        """Rank 0 stores the values of ``variables`` (Keras or tf) and a JSON-able state."""
        if not collective.first:
            return
        arrays = {f"v{index}": variable.numpy() for index, variable in enumerate(variables)}
        arrays["state"] = _as_array(folder.encode_json(state))
        folder.put(folder.partial(self.uri), _FILE.format(of=self.of), folder.encode_arrays(arrays))

    def restore(self, collective: Collective, variables: Sequence[Any]) -> dict[str, Any] | None:
        """Assign the stored values on every rank and return the state; None (nothing assigned) without a checkpoint."""
        state, arrays = None, {}
        if collective.first:
            data = folder.get(folder.partial(self.uri), _FILE.format(of=self.of))
            arrays = folder.decode_arrays(data) if data else {}
            fits = len(arrays) == len(variables) + 1 and all(
                arrays[f"v{i}"].shape == tuple(v.shape) for i, v in enumerate(variables)
            )
            state = folder.decode_json(arrays["state"].tobytes()) if fits else None
        state = collective.agree(state)
        if state is None:
            return None
        if collective.first:
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"v{index}"])
        collective.share(variables)
        return dict(state)


def _as_array(data: bytes) -> Any:
    import numpy as np

    return np.frombuffer(data, np.uint8)
