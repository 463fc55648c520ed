"""The network: likelihoods, no look-ahead, padding that does not matter, and a folder that gives the same forecasts."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from shelfcast.errors import ModelError
from shelfcast.models import folder, forecaster, trained_forecaster
from shelfcast.models.calibration import Calibrations
from shelfcast.models.trained_forecaster import TrainedForecaster
from shelfcast.models.window_tensors import Inputs

CONTEXT, HORIZON = 20, 3
VOCABULARIES = {"department": ["a", "x"], "brand": ["x"]}
PLANNED = 6
SHAPE = forecaster.Shape(
    inputs=len(Inputs(groups=("orders", "price")).history) + 1,
    planned=PLANNED,
    horizon=HORIZON,
    vocabularies={"department": 3, "brand": 2},
    embeddings={"department": 3, "brand": 2},
    units=4,
    layers=2,
    dense=6,
    dropout=0.0,
)
INPUTS = Inputs(groups=("orders", "price"))
NORM = {"mean": [0.1] * len(INPUTS.history), "deviation": [2.0] * len(INPUTS.history)}


def network(seed=1):
    """A small network whose heads differ from zero."""
    made = forecaster.built(SHAPE, seed)
    generator = np.random.default_rng(seed)
    made.heads.kernel.assign(generator.normal(0, 0.5, made.heads.kernel.shape))
    return made


def model(members=1):
    return TrainedForecaster(
        [network(n) for n in range(members)], VOCABULARIES, NORM, INPUTS, Calibrations(), 0.2, CONTEXT, HORIZON
    )


def inputs(rows=3, steps=8, seed=0):
    generator = np.random.default_rng(seed)
    history = generator.normal(size=(rows, steps, SHAPE.inputs)).astype(np.float32)
    planned = generator.random((rows, steps + HORIZON, PLANNED)).astype(np.float32)
    return history, planned, np.ones((rows, 2), np.int32), np.ones((rows, steps), bool)


def test_an_untrained_network_forecasts_the_scale():
    raw = forecaster.built(SHAPE, 1)(inputs())
    logit, mean, _, tweedie = forecaster.parameters(raw, np.full((3, 8), 2.5, np.float32))
    assert np.allclose(mean / (1 + np.exp(logit)), 2.5)
    assert np.allclose(tweedie, 2.5)


@pytest.mark.parametrize("features", [5, 6])
def test_the_fused_encoder_equals_keras_loop_forward_and_backward_and_padding_counts_for_nothing(features):
    sequence = tf.constant(np.random.default_rng(8).normal(size=(3, 7, features)), tf.float32)
    started = tf.constant(np.arange(7) >= np.array([0, 2, 5])[:, None])
    padding = 1.0 - tf.cast(started, tf.float32)[..., None]
    encoder, loop = forecaster.Encoder(4), keras.layers.LSTM(4, return_sequences=True)
    encoder(sequence, padding), loop(sequence)
    loop.set_weights(encoder.get_weights())
    found = []
    for layer, given in ((encoder, {"padding": padding}), (loop, {"mask": started})):
        with tf.GradientTape() as tape:
            tape.watch(sequence)
            encoded = tf.where(started[..., None], layer(sequence, **given), 0.0)
            loss = tf.reduce_sum(tf.sin(3.0 * encoded))
        found.append([encoded, *tape.gradient(loss, [sequence, *(v.value for v in layer.trainable_variables)])])
    for fused, looped in zip(*found, strict=True):
        assert np.allclose(fused, looped, atol=1e-5)


def test_the_likelihood_is_that_of_the_zero_inflated_negative_binomial():
    y = np.array([0.0, 1.0, 7.0, 40.0])
    zero, mean, dispersion = 0.3, 5.0, 0.8
    counted = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).pmf(y)
    expected = -np.log(np.where(y == 0, zero, 0) + (1 - zero) * counted)
    logit = np.full(4, np.log(zero / (1 - zero)))
    found = forecaster.negative_log_likelihood(y, logit, np.full(4, mean), np.full(4, dispersion))
    assert np.allclose(found, expected)


def test_the_tweedie_deviance_is_least_at_the_mean_of_the_data():
    y = np.array([0.0, 2.0, 10.0])
    losses = [float(tf.reduce_sum(forecaster.tweedie_deviance(y, np.full(3, m), 1.5))) for m in (3.0, 4.0, 5.0)]
    assert min(losses) == losses[1]


def test_what_follows_a_position_changes_nothing_before_it():
    made = network()
    history, planned, statics, started = inputs()
    before = made((history, planned, statics, started)).numpy()
    history[:, 5:] += 3.0
    planned[:, 5 + HORIZON :] += 3.0
    after = made((history, planned, statics, started)).numpy()
    assert np.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not np.allclose(before[:, 5:], after[:, 5:])


def test_a_target_beyond_the_origin_changes_no_gradient():
    made = network()
    history, planned, statics, started = inputs()
    scale, weight = np.ones((3, 8), np.float32), np.ones((3, 8, HORIZON), np.float32)
    weight[:, 5:] = 0

    def gradients(target):
        with tf.GradientTape() as tape:
            loss, _ = forecaster.summed_loss(
                made((history, planned, statics, started)), scale, target, weight, 1.5, 0.5
            )
        return [
            tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, [v.value for v in made.trainable_variables])
        ]

    target = np.full((3, 8, HORIZON), 2.0, np.float32)
    planted = target.copy()
    planted[:, 5:] = 1000.0
    for one, other in zip(gradients(target), gradients(planted), strict=True):
        assert np.array_equal(one, other)


def test_leading_padding_changes_nothing():
    made = network()
    history, planned, statics, started = inputs()
    started[:, :3] = False
    history[:, :3] = 0
    whole = made((history, planned, statics, started)).numpy()
    cut = made((history[:, 3:], planned[:, 3:], statics, started[:, 3:])).numpy()
    assert np.allclose(whole[:, 3:], cut, atol=1e-6)


def test_the_last_position_alone_is_the_last_of_all_positions():
    made, given = network(), inputs()
    assert np.allclose(made(given).numpy()[:, -1:], made(given, last=True).numpy(), atol=1e-6)


def test_forecasts_are_whole_ordered_quantiles_for_every_horizon_and_sum(window_table):
    units = np.random.default_rng(2).poisson(3, (5, CONTEXT))
    found = model().forecast(window_table(units))
    assert found.quantiles.shape == (5, 2, HORIZON, 3)
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert np.array_equal(found.quantiles, np.floor(found.quantiles))
    assert np.allclose(found.mean[:, 1], np.cumsum(found.mean[:, 0], -1))
    assert (np.diff(found.mean[:, 1], axis=-1) > 0).all()


def test_a_row_is_forecast_the_same_alone_and_among_others(window_table):
    units = np.random.default_rng(2).poisson(3, (5, CONTEXT))
    units[:, :6] = 0
    rows = window_table(units, length=[CONTEXT, 14, 10, CONTEXT, 3])
    made = model()
    whole = made.forecast(rows)
    alone = made.forecast(rows.slice(2, 1))
    assert np.allclose(whole.mean[2], alone.mean[0], rtol=1e-5)


def test_a_loaded_folder_forecasts_as_the_model_that_was_stored(window_table, tmp_path):
    made = model(members=2)
    uri = folder.model_uri(str(tmp_path), "forecaster", "v")
    folder.publish(uri, made.files())
    rows = window_table(np.random.default_rng(4).poisson(2, (4, CONTEXT)))
    stored = trained_forecaster.load(uri)
    assert np.allclose(stored.forecast(rows).mean, made.forecast(rows).mean)
    assert np.array_equal(stored.forecast(rows).quantiles, made.forecast(rows).quantiles)


def test_members_are_averaged_in_their_raw_heads(window_table):
    rows = window_table(np.random.default_rng(4).poisson(2, (2, CONTEXT)))
    both = model(members=2)
    single = [replace(both, networks=[member]).forecast(rows).distribution for member in both.networks]
    found = both.forecast(rows).distribution
    assert np.allclose(found.mean[:, 0], np.sqrt(single[0].mean * single[1].mean)[:, 0], rtol=1e-5)
    assert np.allclose(found.dispersion[:, 0], np.sqrt(single[0].dispersion * single[1].dispersion)[:, 0], rtol=1e-5)


def test_windows_of_another_shape_are_refused(window_table):
    made = replace(model(), context=CONTEXT + 1)
    with pytest.raises(ModelError, match="context"):
        made.forecast(window_table(np.ones((1, CONTEXT))))


def test_a_folder_of_other_weights_is_refused(tmp_path):
    uri = folder.model_uri(str(tmp_path), "forecaster", "v")
    files = model().files()
    arrays = folder.decode_arrays(files["weights.npz"])
    arrays["0/0"] = arrays["0/0"][:, :-1]
    folder.publish(uri, files | {"weights.npz": folder.encode_arrays(arrays)})
    with pytest.raises(ModelError, match="do not fit"):
        trained_forecaster.load(uri)
