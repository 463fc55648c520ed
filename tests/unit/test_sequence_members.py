"""Several sequence models as one, sizes from the log, and a whole trial on a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shelfcast.config import load
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Inputs
from shelfcast.models.sizes import sizes
from shelfcast.train import sequence_trial
from shelfcast.train.collective import Collective

CONFIG: dict[str, Any] = {
    "encoder": "lstm", "members": 2, "dim": 6, "units": 4, "max_length": 5, "dropout": 0.0, "temperature": 0.1,
    "item_bias": True,
}  # fmt: skip
SMALL = {
    "dim": 16, "units": 8, "epochs": 20, "negatives": 32, "dropout": 0.1, "batch_targets": 100, "members": 2,
    "learning_rate": 0.03,
}  # fmt: skip


def ensemble(items: int = 40) -> SequenceEnsemble:
    found = SequenceEnsemble.build(CONFIG, items)
    for member in found.members:
        member.bias.assign(np.random.default_rng(1).normal(size=items + 1))
    return found


def read(numbers: np.ndarray) -> Inputs:
    return Inputs(numbers, np.zeros_like(numbers))


def scores(found: SequenceEnsemble, numbers: Inputs) -> np.ndarray:
    items, bias = found.scoring()
    return np.asarray(found.users(numbers) @ items.T + bias)


def test_the_score_of_several_members_is_the_mean_of_theirs() -> None:
    found, numbers = ensemble(), read(np.array([[3, 7, 1], [2, 0, 0]], np.int32))
    alone = [scores(SequenceEnsemble([member]), numbers) for member in found.members]
    assert np.allclose(scores(found, numbers), np.mean(alone, 0), atol=1e-4)


def test_condensed_vectors_are_short_and_the_best_of_their_rank() -> None:
    found = ensemble()
    numbers = read(np.random.default_rng(0).integers(1, 41, (300, 5)).astype(np.int32))
    items, bias = found.scoring()
    whole = found.users(numbers) @ items.T
    found.condense(numbers)
    short, same = found.scoring()
    assert (found.users(numbers).shape, short.shape) == ((300, 9), (40, 9))
    assert np.array_equal(bias, same)
    error = np.linalg.norm(found.users(numbers) @ short.T - whole)
    lost = np.linalg.svd(whole, compute_uv=False)[9:]
    assert error == pytest.approx(float(np.linalg.norm(lost)), rel=1e-2)


def test_a_stored_ensemble_scores_the_same() -> None:
    found, numbers = ensemble(), read(np.random.default_rng(0).integers(1, 41, (50, 5)).astype(np.int32))
    found.condense(numbers)
    again = SequenceEnsemble.from_arrays(CONFIG, 40, found.arrays())
    assert np.allclose(scores(found, numbers), scores(again, numbers), atol=1e-5)


def test_a_small_log_affords_more_and_a_sparse_one_needs_more_dropout() -> None:
    options = load().settings.recommender
    sparse, dense, large = (
        sizes(options, 35_000, 18_000, 225_000),
        sizes(options, 1_000, 1_700, 100_000),
        sizes(options, 2_500, 20_000, 1_400_000),
    )
    assert (sparse.members, dense.members, large.members) == (4, 4, 1)
    assert (sparse.max_length, dense.max_length, large.max_length) == (50, 200, 200)
    assert sparse.dropout > dense.dropout >= large.dropout - 0.05
    assert sizes(options.model_copy(update={"dim": 32}), 35_000, 18_000, 225_000).dim == 32


def test_members_learn_what_follows_what(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for user in range(150):  # items follow each other in a ring of 30
        start = int(rng.integers(30))
        lines.append(" ".join([f"u{user}", *(f"i{(start + step) % 30}" for step in range(8))]))
    path = tmp_path / "ring.txt"
    path.write_text("\n".join(lines))
    payload = {
        "data": str(path), "seed": 1, "folder": str(tmp_path / "out"), "final": True,
        "options": load().settings.recommender.model_copy(update=SMALL).model_dump(mode="json"),
    }  # fmt: skip
    found = sequence_trial.work(payload, Collective())
    assert found["sizes"]["members"] == 2
    assert [len(figures) for figures in found["values"]] >= found["epochs"]
    assert max(max(values) for values in found["values"]) > 0.5  # by chance 0.15
    vectors = np.load(tmp_path / "out" / "test.npz")
    assert vectors["users"].shape == (150, 24)
    assert vectors["items"].shape == (30, 24)
