"""The configuration files that ship with shelfcast are found and valid."""

from pathlib import Path

import pytest

from shelfcast import resources
from shelfcast.config import load
from shelfcast.errors import EnvironmentProblem


def test_the_folder_holds_the_defaults_the_cluster_overlay_and_the_sources() -> None:
    folder = resources.conf_dir()

    assert (folder / "base.yaml").is_file()
    assert (folder / "cluster.yaml").is_file()
    assert (folder / "sources").is_dir()


def test_a_package_without_its_configuration_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "resources.py"))

    with pytest.raises(EnvironmentProblem, match=rf"{tmp_path}/conf/base\.yaml is missing"):
        resources.conf_dir()


def test_the_cluster_overlay_is_valid_and_changes_sizes_only() -> None:
    default = load().settings
    cluster = load([resources.conf_dir() / "cluster.yaml"]).settings

    assert cluster.spark.master == "yarn"
    assert cluster.train.launcher == "spark"
    assert cluster.model_copy(update={"spark": default.spark, "train": default.train}) == default
