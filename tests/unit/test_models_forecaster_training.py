"""Training by one rank, in this process: fits, resumes, copes with short logs, keeps to its own cutoffs."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from shelfcast.config import load
from shelfcast.models import folder, trained_forecaster
from shelfcast.train.collective import Collective
from shelfcast.train.forecaster_rank import work

CONTEXT = 20
CUTOFF = date(2017, 11, 26)


@pytest.fixture
def lake(tmp_path, window_table):
    """A lake whose gold/windows holds series that sell 1, 4 or 16 a week, and a later cutoff of nonsense."""
    return planted_lake(tmp_path, window_table)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, window_table):
    """The same lake with a model of two members, trained without a break; and its metrics."""
    uri = planted_lake(tmp_path_factory.mktemp("trained"), window_table)
    return uri, work(payload(uri), Collective())


def planted_lake(path, window_table):
    generator = np.random.default_rng(11)
    level = np.repeat([1.0, 4.0, 16.0], 20)
    rows = window_table(generator.poisson(level[:, None], (60, CONTEXT)))
    later = window_table(np.full((60, CONTEXT), 1e4), cutoff=[CUTOFF + timedelta(days=7)] * 60)
    write_deltalake(str(path / "gold/windows"), pa.concat_tables([rows, later]), partition_by=["cutoff"])
    return str(path)


def payload(lake, **hyper):
    small = {
        "units": 4,
        "layers": 1,
        "dense": 6,
        "epochs": 2,
        "batch": 16,
        "dropout": 0.1,
        "seeds": 2,
        "least_steps": 1,
    } | hyper
    settings = load().settings.forecaster.model_copy(update=small)
    return {
        "lake": lake,
        "version": 0,
        "chains": {"week.product": [CUTOFF.isoformat()]},
        "model": folder.model_uri(lake, "forecaster", "v"),
        "hyper": settings.model_dump(mode="json"),
        "seed": 5,
        "inputs": {"gold/windows": 0},
    }


def weights(lake):
    return folder.decode_arrays(folder.load(folder.model_uri(lake, "forecaster", "v"))["weights.npz"])


def test_a_finished_model_forecasts_the_level_of_its_series(trained, window_table):
    lake, metrics = trained
    assert metrics["windows"] == 60
    assert 1 <= metrics["epochs"] <= 2
    model = trained_forecaster.load(folder.model_uri(lake, "forecaster", "v"))
    mean = model.forecast(window_table(np.repeat([[1.0], [16.0]], CONTEXT, 1))).mean[:, 0]
    assert mean[0] == pytest.approx([1] * 3, rel=0.5)
    assert mean[1] == pytest.approx([16] * 3, rel=0.5)


def test_members_are_trained_from_different_seeds(trained):
    found = weights(trained[0])
    assert not np.allclose(found["0/0"], found["1/0"])


def test_a_training_with_the_same_seed_gives_the_same_metrics_and_says_what_it_was_made_of(trained, lake):
    made_of = {"code": {"train": "c1"}, "data": {"gold/windows": {CUTOFF.isoformat(): "d1"}}}
    again = work(payload(lake) | {"made_of": made_of}, Collective())
    assert again["losses"] == pytest.approx(np.asarray(trained[1]["losses"]), rel=1e-4)
    for name in ("nll", "wape", "bias"):
        assert again["earlier_origin"][name] == pytest.approx(trained[1]["earlier_origin"][name], rel=1e-4), name
    stored = folder.decode_json(folder.load(folder.model_uri(lake, "forecaster", "v"))["versions.json"])
    assert stored["packages"]["numpy"] == np.__version__
    assert {"keras", "tensorflow-cpu", "horovod"} <= set(stored["packages"])
    assert {name: stored[name] for name in made_of} == made_of


def test_a_killed_training_resumes_and_ends_with_the_same_weights(trained, lake, tmp_path):
    class Killed(Exception):
        pass

    def kill(line):
        if "member 2 of 2, epoch 1" in line:
            raise Killed

    with pytest.raises(Killed):
        work(payload(lake), Collective(say=kill))
    told = []
    work(payload(lake), Collective(say=told.append))
    assert told[0] == f"forecaster: resuming at stage 2, after epoch {trained[1]['epochs']}"
    assert not (tmp_path / "models/forecaster/v.partial").exists()
    expected, found = weights(trained[0]), weights(lake)
    for name, values in expected.items():
        assert np.allclose(found[name], values, atol=1e-5), name


def test_a_log_too_short_for_targets_still_gives_the_window_average(tmp_path, window_table):
    units = np.zeros((3, CONTEXT))
    units[:, -1] = [2, 4, 8]
    write_deltalake(str(tmp_path / "gold/windows"), window_table(units, length=[1] * 3), partition_by=["cutoff"])
    told = []
    metrics = work(payload(str(tmp_path), min_sale_periods=5), Collective(say=told.append))
    assert metrics["windows"] == 0
    assert "short" in told[0]
    model = trained_forecaster.load(folder.model_uri(str(tmp_path), "forecaster", "v"))
    assert model.forecast(window_table(units, length=[1] * 3)).mean[:, 0, 0] == pytest.approx([2.1, 4.1, 8.1])
