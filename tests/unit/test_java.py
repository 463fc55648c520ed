"""lake/java.py: Spark's needs are checked before Spark fails in its own words."""

from pathlib import Path

import pytest

from shelfcast.errors import EnvironmentProblem
from shelfcast.lake.java import delta_jars, java_version, require_java


def fake_java(folder: Path, answer: str, code: int = 0) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {code}\n")
    java.chmod(0o755)
    return folder


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21" 2023-09-19', 21),
        ("no such command", None),
    ],
)
def test_reads_the_feature_release_of_old_and_new_version_numbers(answer: str, version: int | None) -> None:
    assert java_version(answer) == version


def test_a_java_of_the_right_age_passes(on_path: Path) -> None:
    fake_java(on_path, 'openjdk version "17.0.15" 2025-04-15')

    require_java()


def test_a_missing_java_is_named_with_what_to_install(on_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"Java is missing.*openjdk-17-jre-headless.*JAVA_HOME"):
        require_java()


def test_an_old_java_is_named_with_its_path_and_version(on_path: Path) -> None:
    fake_java(on_path, 'openjdk version "11.0.2" 2019-01-15')

    with pytest.raises(EnvironmentProblem, match=rf"{on_path}/bin/java is Java 11, too old"):
        require_java()


def test_a_java_that_fails_is_quoted(on_path: Path) -> None:
    fake_java(on_path, "Error: could not find libjava.so", code=1)

    with pytest.raises(EnvironmentProblem, match=r"libjava\.so"):
        require_java()


def test_a_java_home_without_java_is_named_even_where_the_path_has_one(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(on_path, 'openjdk version "17.0.15" 2025-04-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "empty"))

    with pytest.raises(EnvironmentProblem, match=rf"JAVA_HOME is {tmp_path}/empty"):
        require_java()


def test_java_home_wins_over_the_path(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(on_path, 'openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("JAVA_HOME", str(fake_java(on_path / "jdk", 'openjdk version "21" 2023-09-19')))

    require_java()


def test_delta_jars_are_looked_for_in_the_named_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("b.jar", "a.jar", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("SHELFCAST_JARS", str(tmp_path))

    assert delta_jars() == [tmp_path / "a.jar", tmp_path / "b.jar"]


def test_a_folder_that_is_missing_holds_no_delta_jars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHELFCAST_JARS", str(tmp_path / "none"))

    assert delta_jars() == []
