"""Windows as tensors: scales, targets and weights see nothing they may not."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shelfcast.errors import ContractError
from shelfcast.models import window_targets, window_tensors
from shelfcast.models.window_tensors import SCALE_PERIODS, Inputs

CONTEXT, HORIZON = 20, 3
INPUTS = Inputs()


@pytest.fixture(scope="session")
def read(window_table):
    """Makes windows from units [N, CONTEXT]."""
    return lambda *args, **kwargs: window_tensors.read(
        window_table(*args, **kwargs), {"department": ["x"], "brand": ["y"]}, seasonal=False
    )


def test_the_scale_is_the_mean_of_the_last_thirteen_periods_and_a_tenth(read):
    units = np.zeros((1, CONTEXT))
    units[0, 10:] = np.arange(10)
    windows = read(units, length=[10])
    scale = window_tensors.scale(windows)[0]
    assert scale[12] == pytest.approx((0 + 1 + 2) / 3 + 0.1)
    assert scale[-1] == pytest.approx(45 / 10 + 0.1)
    full = read(np.arange(CONTEXT)[None])
    assert window_tensors.scale(full)[0, -1] == pytest.approx(np.arange(CONTEXT)[-SCALE_PERIODS:].mean() + 0.1)


def test_targets_are_the_periods_that_follow(read):
    windows = read(np.arange(CONTEXT)[None])
    assert window_targets.targets(windows)[0, 4].tolist() == [5, 6, 7]
    assert window_targets.targets(windows)[0, -2].tolist() == [CONTEXT - 1, 0, 0]


def test_positions_count_from_the_least_number_of_periods_with_sales(read):
    units = np.zeros((1, CONTEXT))
    units[0, [5, 8, 9]] = 1
    weights = window_targets.weights(read(units, length=[15]), least_sales=2)[0]
    assert not weights[:8].any()
    assert weights[8].tolist() == [1, 1, 1]


def test_no_target_lies_beyond_the_window_or_in_the_held_out_periods(read):
    windows = read(np.ones((1, CONTEXT)))
    assert window_targets.weights(windows, 1)[0, -2].tolist() == [1, 0, 0]
    assert window_targets.weights(windows, 1)[0, -1].tolist() == [0, 0, 0]
    held = window_targets.weights(windows, 1, held_out=HORIZON)[0]
    assert held[-HORIZON - 2].tolist() == [1, 0, 0]
    assert not held[-HORIZON - 1 :].any()


def test_older_windows_hold_nothing_back(window_table):
    older = {"week.product": date(2018, 10, 28)}
    windows = window_tensors.read(window_table(np.ones((1, CONTEXT))), {}, seasonal=False, newest=older)
    assert window_targets.weights(windows, 1, held_out=HORIZON)[0, -2].tolist() == [1, 0, 0]


def test_a_cut_short_history_counts_once_its_scale_is_whole(read):
    weights = window_targets.weights(read(np.ones((1, CONTEXT)), age=[50]), 1)[0]
    assert not weights[: SCALE_PERIODS - 1].any()
    assert weights[SCALE_PERIODS - 1].all()


def test_plans_that_are_not_known_ahead_are_hidden_in_the_future_only(read):
    plan = [np.ones(CONTEXT + HORIZON, np.float32)]
    windows = read(np.ones((1, CONTEXT)), display=plan, mailer=plan)
    inputs = Inputs(groups=(), planned=("mailer",))
    norm = {"mean": [0.0] * len(inputs.history), "deviation": [1.0] * len(inputs.history)}
    given = window_tensors.tensors(windows, norm, inputs)
    display, mailer = (inputs.future.index(name) for name in ("display", "mailer"))
    assert not given.planned[..., display].any()
    assert given.planned[..., mailer].all()
    assert given.history[..., inputs.history.index("display")].all()
    assert windows.planned[..., display].all()  # what was read is left as it was


def test_a_group_that_is_switched_off_leaves_the_other_channels_as_they_are(read):
    windows = read(np.random.default_rng(3).poisson(2, (4, CONTEXT)))
    every, _, _ = window_tensors.raw_inputs(windows, INPUTS)
    fewer = Inputs(groups=("spread", "orders"))
    some, _, _ = window_tensors.raw_inputs(windows, fewer)
    assert "discount" not in fewer.history
    for place, name in enumerate(fewer.history):
        assert np.array_equal(some[..., place], every[..., INPUTS.history.index(name)])


def test_channels_are_what_their_names_say(read):
    units = np.concatenate([np.zeros((1, CONTEXT - 12)), [[2, 4, 0, 2, 0, 0, 6, 0, 1, 0, 0, 3]]], 1)
    promoted = np.zeros((1, CONTEXT + HORIZON), np.float32)
    promoted[0, CONTEXT - 6] = 0.5
    windows = read(units, length=[12], age=[12], mailer=[promoted[0]])
    found, scale, _ = window_tensors.raw_inputs(windows, INPUTS)
    last = dict(zip(INPUTS.history, found[0, -1], strict=True))
    sold, s = units[0, -12:], float(scale[0, -1])
    assert s == pytest.approx(sold.mean() + 0.1)
    assert last["log_units"] == pytest.approx(np.log1p(3))
    assert last["log_average_4"] == pytest.approx(np.log((sold[-4:].mean() + 0.1) / s), rel=1e-5)
    assert last["log_median_8"] == pytest.approx(np.log((np.median(sold[-8:]) + 0.1) / s), rel=1e-5)
    assert last["log_spread"] == pytest.approx(np.log(sold.std() / s + 0.05), rel=1e-4)
    assert last["sold_share"] == pytest.approx((sold > 0).mean())
    assert last["log_silence"] == 0
    assert found[0, -2, INPUTS.history.index("log_silence")] == pytest.approx(np.log(3))
    assert last["promoted_share"] == pytest.approx(1 / 12)
    assert last["mailer_level"] == pytest.approx(0.5 / 12)
    at_promotion = float(scale[0, CONTEXT - 6])
    assert last["log_promoted_lift"] == pytest.approx(np.log((6 + s) / (at_promotion + s)), rel=1e-4)


def test_a_period_out_of_stock_is_no_target_and_not_read_as_silence(read):
    units = np.full((1, CONTEXT), 5.0)
    units[0, -3] = 0
    available = np.ones(CONTEXT, np.float32)
    available[-3] = 0
    windows = read(units, available=[available])
    assert window_tensors.scale(windows)[0, -1] == pytest.approx(5.1)
    weights = window_targets.weights(windows, 1)[0]
    assert weights[-4].tolist() == [0] + [1] * min(2, HORIZON - 1) + [0] * max(0, HORIZON - 3)
    plain = window_targets.weights(read(units), 1)[0]
    assert plain[-4, 0] == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, CONTEXT - 2), st.integers(0, 50), st.integers(1, CONTEXT))
def test_inputs_at_a_position_do_not_know_what_follows(read, position, later, length):
    generator = np.random.default_rng(later)
    units = generator.poisson(2, (1, CONTEXT)).astype(float)
    units[:, : CONTEXT - length] = 0
    changed = units.copy()
    changed[0, position + 1 :] = later
    before, after = read(units, length=[length]), read(changed, length=[length])
    norm = {"mean": [0.0] * len(INPUTS.history), "deviation": [1.0] * len(INPUTS.history)}
    one, other = window_tensors.tensors(before, norm, INPUTS), window_tensors.tensors(after, norm, INPUTS)
    for left, right in ((one.history, other.history), (one.scale, other.scale)):
        assert np.array_equal(left[:, : position + 1], right[:, : position + 1])


def test_the_padding_is_zero_in_every_channel(read):
    windows = read(np.ones((1, CONTEXT)) * (np.arange(CONTEXT) >= 15), length=[5])
    norm = window_tensors.normalisation(window_tensors.moments(windows, INPUTS))
    given = window_tensors.tensors(windows, norm, INPUTS)
    assert not given.history[0, :15].any()
    assert given.history[0, 15:, -1].tolist() == [1] * 5


def test_normalisation_adds_up_over_shares(read):
    generator = np.random.default_rng(1)
    units = generator.poisson(3, (6, CONTEXT))
    whole = window_tensors.moments(read(units), INPUTS)
    parts = window_tensors.moments(read(units[:2]), INPUTS) + window_tensors.moments(read(units[2:]), INPUTS)
    assert parts == pytest.approx(whole)
    assert min(window_tensors.normalisation(whole)["deviation"]) > 0


def test_unknown_and_rare_values_share_number_zero(window_table):
    vocabulary = window_tensors.vocabulary({"brand": {"b": 30, "a": 30, "rare": 2}}, least=20)
    assert vocabulary == {"brand": ["a", "b"]}
    windows = window_tensors.read(
        window_table(np.ones((3, CONTEXT)), brand=["b", "rare", None]), vocabulary, seasonal=False
    )
    assert windows.statics[:, 0].tolist() == [2, 0, 0]


def test_pandas_and_arrow_rows_give_the_same_tensors(window_table):
    rows = window_table(np.arange(2 * CONTEXT).reshape(2, CONTEXT))
    vocabulary = {"department": ["x"]}
    arrow = window_tensors.read(rows, vocabulary, seasonal=True)
    pandas = window_tensors.read(rows.to_pandas(), vocabulary, seasonal=True)
    for name in ("units", "planned", "statics", "age", "length"):
        assert np.array_equal(getattr(arrow, name), getattr(pandas, name))


def test_arrays_of_different_length_are_refused(window_table):
    broken = [np.ones(CONTEXT, np.float32), np.ones(3, np.float32)]
    with pytest.raises(ContractError, match="orders differ in length"):
        window_tensors.read(window_table(np.ones((2, CONTEXT)), orders=broken), {}, seasonal=False)
