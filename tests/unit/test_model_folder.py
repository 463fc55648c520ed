"""Model folders: whole or absent, checked on loading."""

from pathlib import Path

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


@pytest.fixture
def table(tmp_path):
    uri = str(tmp_path / "v1")
    folder.publish(uri, {"items.npy": folder.encode_array(np.arange(6.0).reshape(2, 3))})
    return uri


def test_a_mapped_array_is_what_was_published_and_lies_in_the_models_file(table, tmp_path):
    found = folder.mapped(table, "items.npy", tmp_path / "unused")
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert isinstance(found.base, np.memmap)
    assert Path(found.base.filename) == tmp_path / "v1/items.npy"
    with pytest.raises(ModelError, match=r"other\.npy is missing"):
        folder.mapped(table, "other.npy", tmp_path)
    (tmp_path / "v1/items.npy").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match=r"items\.npy is damaged"):
        folder.mapped(table, "items.npy", tmp_path)


def test_of_a_remote_array_a_host_has_one_copy(table, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "is_local", lambda _: False)
    copies = tmp_path / "copies"
    copies.mkdir()
    first = folder.mapped(table, "items.npy", copies)
    again = folder.mapped(table, "items.npy", copies)
    assert first.tolist() == again.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert first.base.filename == again.base.filename
    (copy,) = copies.glob("*.npy")
    assert copy.name in str(first.base.filename)
    assert not list(copies.glob("*.tmp"))


def test_a_copy_damaged_on_its_way_is_told_and_made_anew(table, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "is_local", lambda _: False)
    path = tmp_path / "v1/items.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"items\.npy is damaged"):
        folder.mapped(table, "items.npy", tmp_path)
    path.write_bytes(whole)
    assert folder.mapped(table, "items.npy", tmp_path).tolist() == [[0, 1, 2], [3, 4, 5]]


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
