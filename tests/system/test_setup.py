"""scripts/setup, and what the command says where Java is missing."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "bash", "cat", "cut", "dirname", "flock", "gcc", "g++", "head", "id", "make", "mkdir", "mktemp", "rm", "sed",
    "sha256sum", "tail", "uv",
)  # fmt: skip


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what setup needs, run by somebody who is not root, without Java."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)
    script(folder / "id", "echo 1000")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing has been set up."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, copy)
    return copy


def script(path: Path, body: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_second_setup_is_silent_and_quick() -> None:
    run(ROOT / "scripts" / "setup", **os.environ)
    started = time.monotonic()

    again = run(ROOT / "scripts" / "setup", **os.environ)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert time.monotonic() - started < 1


def test_fetching_jars_that_are_there_needs_no_argument_and_is_silent() -> None:
    done = run(sys.executable, ROOT / "scripts" / "fetch_jars.py", **os.environ)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_setup_without_java_names_what_to_install_and_makes_no_environment(checkout: Path, tools: Path) -> None:
    done = run(checkout / "scripts" / "setup", PATH=str(tools))

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Java 17 or later is missing" in done.stderr
    assert "apt-get install openjdk-17-jre-headless" in done.stderr
    assert not (checkout / ".venv").exists()


def test_setup_with_a_java_too_old_asks_for_a_newer_one(checkout: Path, tools: Path) -> None:
    script(tools / "java", "echo 'openjdk version \"1.8.0_402\"' >&2")

    done = run(checkout / "scripts" / "setup", PATH=str(tools))

    assert done.returncode == 1
    assert "Java 17 or later is missing" in done.stderr


def test_setup_as_root_installs_java_from_the_systems_packages(checkout: Path, tools: Path, tmp_path: Path) -> None:
    script(tools / "id", "echo 0")
    script(tools / "apt-get", f'echo "$*" >> {tmp_path}/asked')
    (tools / "gcc").unlink()

    done = run(checkout / "scripts" / "setup", PATH=str(tools))

    asked = (tmp_path / "asked").read_text()
    assert "install -y -q --no-install-recommends openjdk-17-jre-headless" in asked
    assert done.returncode == 1  # this apt-get brings nothing
    assert "Java 17 or later is missing" in done.stderr


def test_setup_without_a_compiler_names_what_to_install(checkout: Path, tools: Path) -> None:
    script(tools / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    (tools / "g++").unlink()

    done = run(checkout / "scripts" / "setup", PATH=str(tools))

    assert done.returncode == 1
    assert "g++ missing" in done.stderr
    assert "apt-get install g++" in done.stderr


def test_a_setup_that_failed_half_way_is_not_taken_for_done(checkout: Path, tools: Path) -> None:
    script(tools / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    script(tools / "uv", '[ "$1" = --version ] && echo "uv 0.13.9" || { echo "no network" >&2; exit 2; }')

    for _ in range(2):
        done = run(checkout / "scripts" / "setup", PATH=str(tools))

        assert done.returncode == 1
        assert "no network" in done.stderr
        assert "ready" not in done.stderr


def test_an_unknown_bench_is_answered_with_those_there_are() -> None:
    done = run(ROOT / "scripts" / "bench", "nosuch", **os.environ)

    assert done.returncode == 2
    assert "forecast" in done.stderr


def test_the_command_without_java_says_so_in_one_line(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"}
    env["PATH"] = str(tmp_path)

    done = run(Path(sys.prefix) / "bin" / "shelfcast", "ingest", "--lake", tmp_path / "lake", **env)

    assert done.returncode == 1
    assert "Java is missing" in done.stderr
    assert "openjdk-17-jre-headless" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "lake" / "silver").exists()
