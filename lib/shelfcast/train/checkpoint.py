"""Checkpoints of a training run, so that a killed run goes on where it stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from shelfcast.models import folder
from shelfcast.train.collective import Collective

_FILE = "checkpoint{of}.json"
_TOGETHER = 1 << 24  # numbers that share a file


@dataclass(frozen=True)
class Checkpoint:
    """The newest state of the model being trained for ``uri``; the model's version is part of the URI, so a
    checkpoint of another configuration, seed or input is never found.

    A large table is a file of its own, so that only one is copied at a time. Two folders take turns; the file that
    names the newer one comes last.

    Attributes:
        of: what is trained, where one run trains several things.
    """

    uri: str
    of: str = ""

    def save(self, collective: Collective, variables: Sequence[Any], state: dict[str, Any]) -> None:
        """Rank 0 stores the values of ``variables`` (Keras or tf) and a JSON-able state."""
        if not collective.first:
            return
        before = self._newest()
        turn = 1 - before["turn"] if before else 0
        shapes = [list(variable.shape) for variable in variables]
        for name, places in _files(shapes):
            folder.put(self._folder(turn), name, folder.encode_arrays({str(p): variables[p].numpy() for p in places}))
        now = {"turn": turn, "shapes": shapes, "state": state}
        folder.put(folder.partial(self.uri), _FILE.format(of=self.of), folder.encode_json(now))
        folder.discard(self._folder(1 - turn))

    def restore(
        self, collective: Collective, variables: Sequence[Any], phase: str | None = None
    ) -> dict[str, Any] | None:
        """Assign the stored values on every rank and return the state; None (nothing assigned) without a checkpoint of
        these shapes, and of this ``phase`` of the state if one is given.
        """
        newest = collective.agree(self._newest() if collective.first else None)
        if newest is None or newest["shapes"] != [list(variable.shape) for variable in variables]:
            return None
        if phase is not None and newest["state"].get("phase") != phase:
            return None
        if collective.first:
            for name, _ in _files(newest["shapes"]):
                stored = folder.decode_arrays(folder.get(self._folder(newest["turn"]), name) or b"")
                for place, value in stored.items():
                    variables[int(place)].assign(value)
        collective.share(variables)
        return dict(newest["state"])

    def _newest(self) -> dict[str, Any] | None:
        data = folder.get(folder.partial(self.uri), _FILE.format(of=self.of))
        return dict(folder.decode_json(data)) if data else None

    def _folder(self, turn: int) -> str:
        return f"{folder.partial(self.uri)}/checkpoint{self.of}-{turn}"


def _files(shapes: Sequence[Sequence[int]]) -> Iterator[tuple[str, list[int]]]:
    """Names of files and the places of the variables in each, small ones together."""
    places: list[int] = []
    held = 0
    for place, shape in enumerate(shapes):
        if places and held + prod(shape) > _TOGETHER:
            yield f"{places[0]}.npz", places
            places, held = [], 0
        places.append(place)
        held += prod(shape)
    if places:
        yield f"{places[0]}.npz", places
