"""Model folders: whole or absent, checked on loading."""

import numpy as np
import pytest

from shelfcast.errors import ModelError
from shelfcast.models import folder


@pytest.fixture
def model(tmp_path):
    uri = folder.model_uri(str(tmp_path), "forecaster", "abc")
    arrays = {"0/1": np.arange(6.0).reshape(2, 3), "ids": np.array(["a", "b"])}
    folder.publish(uri, {"weights.npz": folder.encode_arrays(arrays), "config.json": folder.encode_json({"k": 1})})
    return uri


def test_what_was_published_is_loaded(model):
    found = folder.load(model)
    arrays = folder.decode_arrays(found["weights.npz"])
    assert arrays["0/1"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["ids"].tolist() == ["a", "b"]
    assert folder.decode_json(found["config.json"]) == {"k": 1}


def test_a_damaged_file_is_named(model, tmp_path):
    path = tmp_path / "models/forecaster/abc/weights.npz"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ModelError, match=r"weights\.npz is damaged"):
        folder.load(model)
    assert not folder.complete(model)


def test_a_missing_file_is_named(model, tmp_path):
    (tmp_path / "models/forecaster/abc/config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        folder.load(model)


def test_a_folder_without_checksums_is_no_model(tmp_path):
    (tmp_path / "half").mkdir()
    with pytest.raises(ModelError, match=r"checksums\.json is missing"):
        folder.load(str(tmp_path / "half"))


def test_unreadable_checksums_are_told(model, tmp_path):
    (tmp_path / "models/forecaster/abc/checksums.json").write_text("{")
    with pytest.raises(ModelError, match=r"checksums\.json is damaged"):
        folder.load(model)


def test_a_damaged_model_gives_way_to_a_new_one_and_the_checkpoint_goes(model, tmp_path):
    folder.put(folder.partial(model), "checkpoint.json", b"x")
    (tmp_path / "models/forecaster/abc/config.json").write_text("rubbish")
    folder.publish(model, {"config.json": b"{}"})
    assert folder.load(model) == {"config.json": b"{}"}
    assert sorted(path.name for path in (tmp_path / "models/forecaster").iterdir()) == ["abc"]


def test_logs_go_along_outside_the_checksums(tmp_path):
    uri = folder.model_uri(str(tmp_path), "forecaster", "abc")
    logs = folder.logs_folder(uri)
    (logs / "events").write_text("loss")
    folder.publish(uri, {"config.json": b"{}"}, logs=logs)
    assert (tmp_path / "models/forecaster/abc/logs/events").read_text() == "loss"
    assert list(folder.load(uri)) == ["config.json"]
