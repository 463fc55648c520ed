"""The sampled softmax, checked against arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from shelfcast.models.encoders import Encoder
from shelfcast.models.recommender import Architecture, SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives, sampled_softmax
from shelfcast.models.sequences import Inputs


def test_negatives_are_corrected_by_log_q_and_accidental_hits_left_out() -> None:
    positive = np.array([1.0, 0.5], np.float32)
    negative = np.array([[0.2, 1.0, -0.3], [0.4, 0.1, 0.5]], np.float32)
    log_expected = np.log(np.array([0.5, 2.0, 0.25], np.float32))
    found = sampled_softmax(
        tf.constant(positive), tf.constant(negative), tf.constant(log_expected), tf.constant([7, 9]),
        tf.constant([3, 7, 9]),
    )  # fmt: skip
    first = np.log(np.exp(1.0) + np.exp(0.2) / 0.5 + np.exp(-0.3) / 0.25) - 1.0
    second = np.log(np.exp(0.5) + np.exp(0.4) / 0.5 + np.exp(0.1) / 2.0) - 0.5
    assert np.allclose(found, [first, second], atol=1e-6)


def test_the_mixture_is_half_uniform_and_half_popularity() -> None:
    mixed = Negatives.mixed(np.array([8.0, 1.0, 1.0, 0.0]), 0.5)
    assert np.allclose(np.exp(mixed.log_chance), [0.525, 0.175, 0.175, 0.125])
    drawn, log_expected = mixed.draw(np.random.default_rng(1), 20_000)
    share = np.bincount(drawn, minlength=5)[1:] / 20_000
    assert np.allclose(share, [0.525, 0.175, 0.175, 0.125], atol=0.015)
    assert np.allclose(log_expected[drawn == 1], np.log(0.525 * 20_000))


def test_over_many_samples_the_estimate_is_the_full_softmax() -> None:
    logits = np.array([0.3, 1.2, -0.5, 0.8], np.float32)
    mixed = Negatives.mixed(np.array([5.0, 2.0, 2.0, 1.0]), 0.5)
    drawn, log_expected = mixed.draw(np.random.default_rng(0), 50_000)
    found = sampled_softmax(
        tf.constant(logits[:1]), tf.constant(logits[drawn - 1][None]), tf.constant(log_expected), tf.constant([1]),
        tf.constant(drawn),
    )  # fmt: skip
    assert float(found[0]) == pytest.approx(float(np.log(np.exp(logits).sum()) - logits[0]), abs=0.02)


def inputs(numbers: list[list[int]]) -> Inputs:
    """Items whose contexts are their numbers."""
    return Inputs(np.array(numbers, np.int32), np.array(numbers, np.int32))


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_padding_and_later_items_do_not_change_a_user(kind: Encoder) -> None:
    model = SequenceRecommender(Architecture(5, kind, 4, 3, 8, 0.5, 0.1, bias=True, kinds=2))
    short = model.users(inputs([[1, 2]]))
    padded = model.users(inputs([[1, 2, 0, 0], [0, 0, 0, 0]]))
    assert np.allclose(short[0], padded[0], atol=1e-6)
    assert np.allclose(np.linalg.norm(padded, axis=1), [1, 0], atol=1e-5)
    all_at_once = np.array(model(np.array([[1, 2, 5]], np.int32), np.array([[1, 2, 5]], np.int32)))
    assert np.allclose(all_at_once[0, 1], short[0], atol=1e-6)


def test_a_batch_without_targets_costs_nothing() -> None:
    model = SequenceRecommender(Architecture(5, "lstm", 4, 3, 8, 0.5, 0.1, bias=True))
    nothing = np.zeros((1, 1), np.int32)
    loss, count = model.loss_sum(
        nothing, nothing, nothing, nothing, np.array([1, 2], np.int32), np.zeros(2, np.float32)
    )
    assert (float(loss), float(count)) == (0.0, 0.0)


def test_a_score_is_cosine_over_temperature_plus_bias() -> None:
    model = SequenceRecommender(Architecture(3, "lstm", 4, 3, 8, 0.0, 0.2, bias=True))
    model.start_from_popularity(np.array([0.0, 9.0, 99.0]))
    table, bias = model.scoring()
    rows = np.array(model.embedding.embeddings)[1:]
    assert np.allclose(table, rows / np.linalg.norm(rows, axis=1, keepdims=True) / 0.2, atol=1e-4)
    assert bias.tolist() == pytest.approx([-np.log(10), 0.0, np.log(10)], abs=1e-5)
