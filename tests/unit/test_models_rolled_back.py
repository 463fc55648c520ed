"""Rolled back, windows are those of an earlier cutoff: what came later is gone."""

from datetime import date, timedelta

import numpy as np
import pytest

from shelfcast.models import window_tensors
from shelfcast.models.rolled_back import rolled_back
from shelfcast.models.window_tensors import Inputs

CUTOFF, CONTEXT, BACK = date(2017, 11, 26), 20, 6


def read(table, newest=CUTOFF):
    return window_tensors.read(table, {}, seasonal=False, newest={"week.product": newest})


def planned(generator, rows, horizon=3):
    return {"mailer": list(generator.random((rows, CONTEXT + horizon)).astype(np.float32))}


def test_rolled_back_windows_are_those_of_the_earlier_cutoff_but_for_what_the_context_cut_off(window_table):
    generator = np.random.default_rng(1)
    units = generator.poisson(3, (4, CONTEXT)).astype(np.float32)
    mailer = planned(generator, 4)
    length = np.asarray([CONTEXT, 12, 7, 5])
    units[np.arange(CONTEXT)[None] < (CONTEXT - length)[:, None]] = 0
    found = rolled_back(read(window_table(units, length=length, age=[60, 12, 7, 5], **mailer)), BACK)
    assert found.length.tolist() == [CONTEXT - BACK, 6, 1]  # the last series had not begun
    assert found.age.tolist() == [54, 6, 1]
    assert found.units[:, BACK:].tolist() == units[:3, :-BACK].tolist()
    assert found.planned[:, BACK:, 2].tolist() == np.asarray(mailer["mailer"])[:3, :-BACK].tolist()
    assert found.newest.all()


def test_what_came_after_the_origin_changes_nothing_the_network_is_given(window_table):
    generator = np.random.default_rng(2)
    units = generator.poisson(3, (5, CONTEXT)).astype(np.float32)
    mailer = planned(generator, 5)
    later_units, later_mailer = units.copy(), np.asarray(mailer["mailer"]).copy()
    later_units[:, -BACK:] = 1e4
    later_mailer[:, -BACK:] = 1.0
    inputs = Inputs()
    given = []
    for one, plans in ((units, mailer), (later_units, {"mailer": list(later_mailer)})):
        windows = rolled_back(read(window_table(one, **plans)), BACK)
        norm = window_tensors.normalisation(window_tensors.moments(windows, inputs))
        given.append(window_tensors.tensors(windows, norm, inputs))
    for before, after in zip(*given, strict=True):
        assert np.array_equal(before, after)


def test_older_windows_stay_as_they_are_and_come_nearer(window_table):
    units = np.ones((2, CONTEXT), np.float32)
    windows = read(window_table(units, cutoff=[CUTOFF, CUTOFF - timedelta(weeks=17)]))
    found = rolled_back(windows, BACK)
    assert found.length.tolist() == [CONTEXT - BACK, CONTEXT]
    assert found.behind.tolist() == [0, 17 - BACK]
    assert found.newest.tolist() == [True, False]


@pytest.mark.parametrize("periods", [-1, CONTEXT, 17])
def test_going_back_beyond_the_context_or_an_older_window_is_refused(window_table, periods):
    windows = read(window_table(np.ones((2, CONTEXT)), cutoff=[CUTOFF, CUTOFF - timedelta(weeks=17)]))
    with pytest.raises(ValueError, match="cannot be rolled back"):
        rolled_back(windows, periods)
