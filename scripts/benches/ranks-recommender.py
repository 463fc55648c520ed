"""Targets trained on a second by two ranks that join their gradients ÷ by two processes that are not coupled.

Both sides take the same steps of the sequence model, the training's own: batches of the size that the configuration
makes of so many sequences, sampled softmax over a large table of items, clipped AdamW on the touched rows, averaged
weights, one thread each, side by side on the same cores. They are timed in turn, from when all are warm.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benches")]  # the ranks find both by it

import bench_ranks  # noqa: E402

_WARM = 10  # steps before the clock starts
_HEAD = 1000.0  # items about as popular as the first; behind them popularity falls with the rank


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="rows of the table")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--targets", type=int, default=2_000_000, help="of each rank's sequences")
    parser.add_argument("--length", type=float, default=10.0, help="mean targets of a sequence")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each side, each turn")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="of the configuration, e.g. recommender.units=128")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def steps(payload: dict[str, Any], collective: Any) -> dict[str, Any]:
    """What each rank does: training steps for about payload["seconds"] s.

    Args:
        payload: settings, items, targets and length of the sequences, seed, seconds, share (which rank's sequences an
            uncoupled process takes, of how many) and meeting, a folder where uncoupled processes wait for each other.
    """
    import numpy as np

    from shelfcast.train.large_tables import sent

    place, of = payload["share"] or (collective.rank, collective.size)
    fit = training(payload, place, collective)
    variables = list(fit.model.trainable_variables)
    collective.share(variables)
    optimizer = fit.optimizer(variables)
    epochs = Epochs(fit, fit.step(variables, optimizer))
    epochs.take(_WARM)  # the first ones trace
    began = time.perf_counter()
    epochs.take(_WARM)
    took = (time.perf_counter() - began) / _WARM
    count = int(collective.agree(max(int(payload["seconds"] / took), 1)))
    bench_ranks.meet(payload["meeting"], place, of)
    began, cpu = time.perf_counter(), time.process_time()
    targets = epochs.take(count)
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    found = {"targets": targets, "seconds": seconds, "cpu": busy}
    parts = collective.gather(found)
    rows = int(np.mean([len(np.unique(np.concatenate([part.ravel() for part in batch]))) for batch in epochs.seen]))
    return {
        **found, "steps": count, "batch": fit.sizes.batch_targets, "gradients": fit.gradients, "rows": rows,
        "sent": sent(rows, [tuple(v.shape) for v in variables], optimizer.by_rows),
        "rate": sum(part["targets"] / part["seconds"] for part in parts),
        "cpu_each": sum(part["cpu"] for part in parts) / sum(part["targets"] for part in parts),
    }  # fmt: skip


def training(payload: dict[str, Any], place: int, collective: Any) -> Any:
    """The fit of a sequence model on this rank's synthetic sequences."""
    import keras
    import numpy as np

    from shelfcast.models.sampled_softmax import Negatives
    from shelfcast.models.sequence_ensemble import build_member
    from shelfcast.models.sequences import Pieces, Sequences
    from shelfcast.models.sizes import sizes
    from shelfcast.settings import Recommender
    from shelfcast.train.checkpoint import Checkpoint
    from shelfcast.train.sequence_fit import Fit

    options = Recommender.model_validate(payload["settings"])
    size = sizes(options, int(payload["targets"] / payload["length"]), payload["items"], payload["targets"])
    popularity = 1 / (np.arange(payload["items"]) + _HEAD)
    np.random.default_rng(payload["seed"]).shuffle(popularity)
    rng = np.random.default_rng([payload["seed"], place])
    lengths = rng.geometric(1 / payload["length"], int(payload["targets"] / payload["length"]))
    lengths = np.minimum(lengths, size.max_length)
    starts = np.concatenate([[0], np.cumsum(lengths + 1)])
    cumulative = np.cumsum(popularity)
    bought = np.searchsorted(cumulative, rng.random(starts[-1]) * cumulative[-1], side="right")
    numbers = (np.minimum(bought, payload["items"] - 1) + 1).astype(np.int32)
    sequences = Sequences(starts, numbers, np.arange(len(numbers)), np.zeros(len(numbers), np.int32))
    pieces = Pieces(sequences, starts[:-1], lengths)
    keras.utils.set_random_seed(payload["seed"] + place)
    config = {
        **size.as_config(),
        "encoder": options.encoder,
        "units": options.units,
        "temperature": options.temperature,
    }
    model = build_member(config, payload["items"])
    negatives = Negatives.mixed(popularity, options.popularity_share)
    checkpoint = Checkpoint(payload["meeting"])
    return Fit("bench", model, pieces, negatives, options, size, payload["seed"], collective, checkpoint)


class Epochs:
    """A fit's steps one after another, whichever epoch they belong to."""

    def __init__(self, fit: Any, step: Any) -> None:
        self.fit, self.step, self.number = fit, step, 0
        self.batches: Any = iter(())
        self.seen: list[Any] = []  # items of the first batches: inputs, targets, negatives

    def take(self, count: int) -> int:
        """Train on the next ``count`` batches. Returns their targets."""
        targets = 0
        for _ in range(count):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = self.fit.batches(self.number)
                self.number += 1
                batch = next(self.batches)
            if len(self.seen) < _WARM:
                self.seen.append((batch[0], batch[1], batch[3]))
            targets += int([float(value) for value in self.step(*batch)][1])
        return targets


def main() -> None:
    from shelfcast.config import load

    given = arguments()
    sets = [
        f"train.ranks={given.ranks}", "train.threads=1", f"recommender.dim={given.dim}",
        f"recommender.epoch_targets={given.targets * given.ranks}", *given.set,
    ]  # fmt: skip
    settings = load(sets=sets).settings
    payload = {
        "settings": settings.recommender.model_dump(mode="json"), "items": given.items, "targets": given.targets,
        "length": given.length, "seed": given.seed, "seconds": given.seconds, "share": None,
    }  # fmt: skip
    turns = [bench_ranks.turn("ranks-recommender:steps", payload, settings.train) for _ in range(given.turns)]
    first = turns[0][1]
    own = {
        "items": given.items, "dim": given.dim, "gradients": first["gradients"], "rows_a_step": first["rows"],
        "bytes_sent_a_step": first["sent"],
    }  # fmt: skip
    print(json.dumps({"bench": "ranks-recommender", **bench_ranks.figures(turns, "targets", given.ranks), **own}))


if __name__ == "__main__":
    main()
