"""LightGBM is given what the forecaster is given, and nothing of what was not known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shelfcast.errors import ModelError
from shelfcast.models import boosting, folder, window_targets, window_tensors
from shelfcast.models.boosting import Boosting
from shelfcast.models.boosting_features import features
from shelfcast.models.window_tensors import KINDS, PLANNED, STATICS, Windows

CONTEXT, HORIZON = 30, 2
HYPER = {
    "num_boost_round": 30, "scale_power": 0.5, "num_leaves": 15, "learning_rate": 0.2, "min_data_in_leaf": 20,
    "num_threads": 1, "verbosity": -1, "seed": 1, "deterministic": True, "force_col_wise": True,
}  # fmt: skip


def table(count: int, seed: int, lift: float = 4.0) -> pd.DataFrame:
    """Series that sell about twice a period, and so many times more in a period with a display."""
    random = np.random.default_rng(seed)
    plans = {name: np.zeros((count, CONTEXT + HORIZON)) for name in (*PLANNED, "year_phase")}
    plans["display"] = (random.random((count, CONTEXT + HORIZON)) < 0.2).astype(float)
    units = random.poisson(2 * np.where(plans["display"][:, :CONTEXT] > 0, lift, 1)).astype(float)
    truth = 2 * np.where(plans["display"][:, CONTEXT:] > 0, lift, 1)
    length = random.integers(20, CONTEXT + 1, count)
    units[np.arange(CONTEXT) < CONTEXT - length[:, None]] = 0
    past = {"units": units, "orders": units, "price": np.where(units > 0, 2.0, 0), "discount": 0 * units,
            "available": np.ones_like(units)}  # fmt: skip
    frame = pd.DataFrame({name: list(values.astype(np.float32)) for name, values in {**past, **plans}.items()})
    statics = {name: random.choice(["a", "b"], count) for name in STATICS}
    return frame.assign(grain="week.product", cutoff=None, age=length, length=length, truth=list(truth), **statics)


def windows(count: int = 40, seed: int = 1) -> Windows:
    return window_tensors.read(table(count, seed), {name: ["a", "b"] for name in STATICS}, seasonal=False)


@settings(max_examples=15, deadline=None)
@given(st.integers(8, CONTEXT - 1), st.sampled_from([("display", "mailer"), ("mailer",), ()]), st.integers(0, 99))
def test_no_feature_changes_with_what_happens_later_or_with_plans_that_are_not_known(
    position: int, planned: tuple[str, ...], seed: int
) -> None:
    given_ = windows()
    random = np.random.default_rng(seed)
    later = {}
    for name in ("units", "orders", "price", "discount"):
        later[name] = getattr(given_, name).copy()
        later[name][:, position + 1 :] = random.integers(0, 9, (len(given_), CONTEXT - position - 1))
    plans = given_.planned.copy()
    hidden = [PLANNED.index(c) for kind, columns in KINDS.items() if kind not in planned for c in columns]
    plans[:, position + 1 :, hidden] = random.random((len(given_), CONTEXT + HORIZON - position - 1, len(hidden)))
    plans[:, position + 1 + HORIZON :] = 1.0  # nothing is known beyond the horizon
    chosen = np.zeros((len(given_), CONTEXT), bool)
    chosen[:, position] = given_.length > CONTEXT - position
    changed = replace(given_, **later, planned=plans)
    assert np.array_equal(features(given_, chosen, planned), features(changed, chosen, planned), equal_nan=True)


def test_plans_that_are_known_are_features() -> None:
    given_ = windows()
    chosen = np.zeros((len(given_), CONTEXT), bool)
    chosen[:, -1] = True
    known, unknown = (features(given_, chosen, planned) for planned in (("display",), ()))
    differs = [not np.array_equal(a, b, equal_nan=True) for a, b in zip(known.T, unknown.T, strict=True)]
    assert sum(differs) == HORIZON  # display over the horizon; main displays are never planned here


def fitted(planned: tuple[str, ...], objectives: tuple[str, ...] = ("l1", "tweedie")) -> Boosting:
    data = boosting.data(windows(300, 2), 5, planned)
    vocabularies = {name: ["a", "b"] for name in STATICS}
    return Boosting(boosting.fit(data, objectives, HYPER, lambda _: None), vocabularies, planned, seasonal=False)


def test_positions_to_fit_on_have_their_targets_inside_the_window() -> None:
    given_ = windows(3)
    data = boosting.data(given_, 5, ())
    last = np.stack([given_.units[:, -1], np.zeros(3)], -1)
    assert len(data.features) == len(data.targets) == (window_targets.weights(given_, 5)[..., 0] > 0).sum()
    assert data.known[:, 0].all()
    ends = ~data.known[:, 1]
    assert ends.sum() == 3
    assert np.array_equal(data.targets[ends], last)


def test_with_plans_it_learns_what_they_do_and_beats_the_naive_forecast() -> None:
    ahead = table(200, 3)
    truth, newest = np.stack(ahead["truth"]), np.stack(ahead["units"])[:, -1:]
    found = fitted(("display", "mailer")).forecast(ahead)
    assert found.keys() == {"lightgbm_l1", "lightgbm_tweedie"}
    for forecasts in found.values():
        assert np.abs(forecasts - truth).sum() < 0.25 * np.abs(newest - truth).sum()
    blind = fitted(()).forecast(ahead)["lightgbm_tweedie"]
    assert np.abs(found["lightgbm_tweedie"] - truth).sum() < 0.4 * np.abs(blind - truth).sum()


def test_quantiles_are_in_order_and_a_model_is_the_same_after_it_was_stored(tmp_path) -> None:
    model, ahead = fitted(("display",), ("quantile",)), table(50, 4)
    found = model.forecast(ahead)
    assert (found["lightgbm_q10"] <= found["lightgbm_l1"]).all()
    assert (found["lightgbm_l1"] <= found["lightgbm_q90"]).all()
    uri = str(tmp_path / "model")
    folder.publish(uri, model.files())
    again = boosting.load(uri)
    assert again.columns == model.columns
    for name, forecasts in again.forecast(ahead).items():
        assert np.array_equal(forecasts, found[name])
    (tmp_path / "model" / "l1.1.txt").write_text("tree")
    with pytest.raises(ModelError, match=r"l1\.1\.txt is damaged"):
        boosting.load(uri)


def test_many_windows_are_thinned_to_about_the_rows_asked_for() -> None:
    given_ = windows(400)
    everything = len(boosting.data(given_, 5, ()).features)
    assert len(boosting.thinned(given_, 5, everything, seed=1)) == 400
    fewer = len(boosting.data(boosting.thinned(given_, 5, everything // 4, seed=1), 5, ()).features)
    assert 0.15 < fewer / everything < 0.35
