"""The same seed, ranks, data and code give the same model."""

from datetime import date

import numpy as np
import pytest
from deltalake import write_deltalake

from shelfcast.config import load
from shelfcast.models import folder
from shelfcast.settings import Train
from shelfcast.train.forecaster import ENTRY
from shelfcast.train.launch import launch

CUTOFF = date(2017, 11, 26)


@pytest.mark.slow
def test_two_ranks_trained_twice_give_the_same_weights_to_the_last_bit(tmp_path, window_table):
    units = np.random.default_rng(2).poisson(3, (40, 20))
    write_deltalake(str(tmp_path / "gold/windows"), window_table(units), partition_by=["cutoff"])
    small = {"units": 4, "layers": 1, "dense": 6, "epochs": 1, "batch": 16, "seeds": 1, "least_steps": 1}
    hyper = load().settings.forecaster.model_copy(update=small)
    train = Train(launcher="horovodrun", ranks=2, threads=1, hosts=None, timeout_minutes=5)
    found = []
    for name in ("first", "second"):
        uri = folder.model_uri(str(tmp_path), "forecaster", name)
        payload = {
            "lake": str(tmp_path), "version": 0, "chains": {"week.product": [CUTOFF.isoformat()]}, "model": uri,
            "hyper": hyper.model_dump(mode="json"), "seed": 5, "inputs": {},
        }  # fmt: skip
        metrics = launch(ENTRY, payload, train, say=lambda _: None)
        metrics.pop("seconds")
        found.append((metrics, folder.load(uri, ["weights.npz"])["weights.npz"]))
    assert found[0][0] == found[1][0]
    first, second = (folder.decode_arrays(weights) for _, weights in found)
    assert all(np.array_equal(first[name], second[name]) for name in first)
