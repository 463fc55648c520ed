"""The search tries the declared space, remembers what it tried, and writes down what it chose."""

from datetime import date
from pathlib import Path

import pytest

from shelfcast import tuning
from shelfcast.config import load
from shelfcast.errors import ConfigError
from shelfcast.tuning import Search

ORIGINS = {date(2017, 8, 6): 8, date(2017, 9, 3): 4}
SPACE = "{learning_rate: {low: 0.0005, high: 0.005, log: true}, inputs: {choices: [[orders, price], [price]]}}"
SHIPPED = ("forecaster.inputs=[price]", "forecaster.learning_rate=0.004")


class Quiet:
    def begin(self, step, slice_):
        return str

    def end(self, done):
        pass


class Rolled:
    """Stands for trainings: the likelihood is best at a learning rate of .001, and orders help."""

    def __init__(self):
        self.origins, self.data, self.asked = ORIGINS, {"windows": "same"}, []

    def score(self, hyper, origin, say):
        self.asked.append((origin, hyper.learning_rate))
        nll = 1 + abs(hyper.learning_rate - 0.001) * 100 + ("orders" not in hyper.inputs) + origin.month
        return {"nll": nll, "wape": nll / 10, "rmse": nll, "bias": 0.0, "series": 9, "epochs": 1, "seconds": 0.1}


def settings(lake, *sets):
    loaded = load(sets=[*SHIPPED, "tuning.random_trials=4", *sets], lake=str(lake)).settings
    space = load(sets=[f"tuning.space={SPACE}"]).settings.tuning.space
    chosen = {key: space[key] for key in ("learning_rate", "inputs")}
    return loaded.model_copy(update={"tuning": loaded.tuning.model_copy(update={"space": chosen})})


def test_the_search_beats_the_shipped_configuration_and_its_choice_is_a_configuration(tmp_path):
    document = Search(settings(tmp_path), Rolled(), Quiet()).run(12)
    assert len(document["trials"]) == 12
    assert document["trials"][0]["parameters"] == {"learning_rate": 0.004, "inputs": ["price"]}
    assert document["trials"][0]["nll"] == document["shipped"]["nll"]
    assert document["best"]["nll"] < document["shipped"]["nll"]
    assert document["best"]["parameters"]["inputs"] == ["orders", "price"]
    chosen = load([Path(document["best"]["file"])]).settings.forecaster
    assert chosen.learning_rate == document["best"]["parameters"]["learning_rate"]
    assert chosen.inputs == ["orders", "price"]


def test_an_interrupted_search_goes_on_and_tries_other_values(tmp_path):
    first = Search(settings(tmp_path), Rolled(), Quiet()).run(3)
    rolled = Rolled()
    again = Search(settings(tmp_path), rolled, Quiet()).run(6)
    assert again["id"] == first["id"]
    assert again["trials"][:3] == first["trials"]
    rates = [trial["parameters"]["learning_rate"] for trial in again["trials"]]
    assert len(set(rates)) == 6
    assert not {rate for _, rate in rolled.asked} & (set(rates[:3]) - {0.004})


def test_a_trial_that_is_clearly_worse_at_the_first_origin_is_not_trained_at_the_second(tmp_path):
    document = Search(settings(tmp_path), Rolled(), Quiet()).run(20)
    stopped = [trial for trial in document["trials"] if trial["state"] == "pruned"]
    assert stopped
    assert all(list(trial["origins"]) == ["2017-08-06"] for trial in stopped)
    assert document["best"]["state"] == "complete"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{unit: {choices: [8]}}", "no key unit"),
        ("{dropout: {low: 0.1, high: 1.5}}", "tuning.space.dropout: 1.5 is refused"),
    ],
)
def test_a_space_that_the_forecaster_does_not_take_is_refused(tmp_path, space, said):
    with pytest.raises(ConfigError, match=said):
        tuning.check(load(sets=[f"tuning.space={space}"], lake=str(tmp_path)).settings)


def test_a_key_is_either_listed_or_a_range():
    with pytest.raises(ConfigError, match="either choices"):
        load(sets=["tuning.space={dropout: {low: null}}"])
