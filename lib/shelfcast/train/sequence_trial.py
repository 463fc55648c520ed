"""What the ranks of ``bench sequence`` do: train on a benchmark file and leave the vectors that are to be measured."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import full_ranking, leave_one_out
from shelfcast.models.leave_one_out import LeaveOneOut, Split
from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Pieces, Sequences
from shelfcast.models.sizes import sizes
from shelfcast.settings import Recommender as Options
from shelfcast.train.collective import Collective
from shelfcast.train.members import Material, Trainer

_VALIDATION_USERS = 10_000  # of an epoch's validation; the finished model is measured on all
_K = 10


def work(payload: dict[str, Any], collective: Collective) -> dict[str, Any]:
    """Entry of the launcher.

    Args:
        payload: data (the file), options (section recommender of the configuration), seed, folder (for checkpoints and
            vectors), final (whether the users of the test are encoded as well).

    Returns:
        sizes, epochs, values (validation NDCG by member and epoch) and seconds. ``validation.npz`` and, if final,
        ``test.npz`` in the folder hold users [users, d], items [items, d] and bias [items].
    """
    started = time.monotonic()
    data = leave_one_out.read(Path(payload["data"]))
    options = Options(**payload["options"])
    training = data.training
    size = sizes(options, len(training.offsets) - 1, len(data.items), len(training.numbers))
    config = {
        **size.as_config(),
        "encoder": options.encoder,
        "units": options.units,
        "temperature": options.temperature,
    }
    trainer = Trainer(options, size, config, payload["seed"], collective, payload["folder"])
    own = training if size.members > 1 else training.users(slice(collective.rank, None, collective.size))
    material = Material(Pieces.cut(own, size.max_length), data.counts(), own.newest(size.max_length))
    validation = _some(data.validation, payload["seed"])

    def validate(model: SequenceRecommender, ranks: Collective) -> float:
        mine = validation.part(slice(ranks.rank, None, ranks.size))
        gains = _gains(SequenceEnsemble([model]), mine, size.max_length)
        total, users = ranks.sum([gains[:, 1].sum(), len(gains)])
        return float(total / max(users, 1))

    found = trainer.train("leave-one-out", material, [size.epochs] * size.members, validate)
    if collective.first:
        _leave(found.ensemble, data, size.max_length, Path(payload["folder"]), final=payload["final"])
    return {
        "sizes": size.as_config(), "epochs": found.epochs, "values": found.values,
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def _some(split: Split, seed: int) -> Split:
    rng = np.random.default_rng([seed, 1])
    return split.part(np.sort(rng.permutation(len(split.wanted))[:_VALIDATION_USERS]))


def _gains(ensemble: SequenceEnsemble, split: Split, length: int) -> NDArray[Any]:
    items, bias = ensemble.scoring()
    scores = full_ranking.products(ensemble.users(split.known.newest(length)), items, bias)
    found = full_ranking.ranking(scores, split.known, split.wanted, min(_K, len(items)))
    return full_ranking.gains(found.places, _K)


def _leave(ensemble: SequenceEnsemble, data: LeaveOneOut, length: int, folder: Path, *, final: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    items, bias = ensemble.scoring()
    asked: dict[str, Sequences] = {"validation": data.validation.known}
    if final:
        asked["test"] = data.test.known
    for name, known in asked.items():
        np.savez(folder / f"{name}.npz", users=ensemble.users(known.newest(length)), items=items, bias=bias)
