"""Ranks started by the launcher: joined gradients, agreement, results and failures."""

import textwrap
from pathlib import Path

import pytest

from shelfcast.errors import TrainingError
from shelfcast.settings import Train
from shelfcast.train.launch import launch

WORK = """
import numpy as np
import tensorflow as tf

from shelfcast.models import forecaster
from shelfcast.train.collective import Collective, plain


def tables(rows):
    touched = np.array([3, 0, 3, 1, 0, 3], np.int32)[rows]  # some by both ranks, some twice by one
    values = np.random.default_rng(8).normal(size=(6, 3)).astype(np.float32)[rows]
    return [tf.IndexedSlices(values, touched, [5, 3]), tf.IndexedSlices(values[:, 0], touched, [5])]


def gradients(network, rows, collective):
    generator = np.random.default_rng(7)
    history = generator.normal(size=(6, 5, 4)).astype(np.float32)[rows]
    planned = generator.random((6, 7, 2)).astype(np.float32)[rows]
    statics = generator.integers(0, 3, (6, 1)).astype(np.int32)[rows]
    target = generator.poisson(2, (6, 5, 2)).astype(np.float32)[rows]
    weight = (generator.random((6, 5, 2)) < 0.7).astype(np.float32)[rows]
    started, scale = np.ones((len(target), 5), bool), np.ones((len(target), 5), np.float32)

    def joined(*, dense):
        with tf.GradientTape() as tape:
            raw = network((history, planned, statics, started))
            loss, _ = forecaster.summed_loss(raw, scale, target, weight, 1.5, 0.5)
        found = tape.gradient(loss, [plain(variable) for variable in network.trainable_variables])
        assert any(isinstance(gradient, tf.IndexedSlices) for gradient in found)
        found += tables(rows)
        return collective.join(found, weight.sum(), dense=dense)

    return [np.asarray(tf.convert_to_tensor(g)) for dense in (True, False) for g in joined(dense=dense)[0]]


def work(payload, collective):
    if collective.rank == payload.get("fails"):
        raise ValueError("the dog ate it")
    shape = forecaster.Shape(4, 2, 2, {"brand": 3}, {"brand": 2}, units=3, layers=2, dense=4, dropout=0.0)
    network = forecaster.built(shape, seed=collective.rank)  # different, until shared
    collective.share(network.weights)
    collective.say(f"rank {collective.rank} of {collective.size}")
    shares = [slice(0, 4), slice(4, 6)]  # unequal on purpose
    apart = gradients(network, shares[collective.rank], collective)
    whole = gradients(network, slice(0, 6), Collective())
    rows, _ = collective.join(tables(shares[collective.rank]), 1.0)
    differences = [float(np.abs(a - b).max()) for a, b in zip(apart, whole, strict=True)]
    return {
        "difference": max(max(values) for values in collective.gather(differences)),
        "rows": [g.indices.numpy().tolist() for g in rows],
        "largest": max(float(np.abs(value).max()) for value in whole),
        "weights": [float(value) for value in collective.sum(np.abs(network.get_weights()[0]).sum() * np.ones(2))],
        "own": float(np.abs(network.get_weights()[0]).sum()),
        "agreed": collective.agree(collective.rank + 5),
    }
"""


def settings(**changed: object) -> Train:
    given = {"launcher": "horovodrun", "ranks": 2, "threads": 1, "hosts": None, "timeout_minutes": 5}
    return Train.model_validate(given | changed)


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "rank_work.py").write_text(textwrap.dedent(WORK))
    monkeypatch.syspath_prepend(str(tmp_path))
    return "rank_work:work"


@pytest.mark.slow
def test_two_ranks_give_the_gradients_of_one_rank_on_the_joined_batch(entry):
    told: list[str] = []
    found = launch(entry, {}, settings(), say=told.append)
    assert found["largest"] > 0.01
    assert found["difference"] < 1e-6
    assert found["rows"] == [[0, 1, 3]] * 2
    assert found["weights"] == pytest.approx([2 * found["own"]] * 2)  # both ranks hold rank 0's weights
    assert found["agreed"] == 5
    assert told == ["rank 0 of 2"]


@pytest.mark.slow
def test_a_failing_rank_is_told_by_its_own_message(entry, tmp_path):
    with pytest.raises(TrainingError, match="rank 1: ValueError: the dog ate it"):
        launch(entry, {"fails": 1}, settings(), folder=tmp_path / "ranks")


def test_a_program_that_is_no_entry_leaves_its_last_words(tmp_path):
    with pytest.raises(TrainingError, match="ModuleNotFoundError"):
        launch("no_such_module:work", {}, settings(launcher="inline"), folder=tmp_path / "ranks")


def test_the_spark_launcher_needs_a_session(tmp_path):
    with pytest.raises(TrainingError, match="session"):
        launch("a:b", {}, settings(launcher="spark"), folder=tmp_path / "ranks")
