"""Raw files are found, told apart by content, and missed with a clear message."""

from pathlib import Path

import pytest

from shelfcast.config import load
from shelfcast.errors import SourceError
from shelfcast.ingest import files
from shelfcast.ingest.files import fingerprint_inputs, list_files, root
from shelfcast.settings import Input, Source


def listed(folder: Path, *patterns: str, optional: bool = False) -> list[str]:
    given = Input(files=list(patterns), fills="events", columns={}, optional=optional)
    return [file.path for file in list_files("shop", Source(root=str(folder)), "orders", given)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name in ("a.csv", "b.csv.gz", "2024/01/c.csv", "2024/02/d.csv", "_tmp/e.csv", ".hidden.csv", "day=1/f.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv"]),
        ("2024", ["2024/01/c.csv", "2024/02/d.csv"]),
        ("2024/*", ["2024/01/c.csv", "2024/02/d.csv"]),
        ("2024/0[2-3]/*.csv", ["2024/02/d.csv"]),
        ("**/*.csv", ["2024/01/c.csv", "2024/02/d.csv", "a.csv", "day=1/f.csv"]),
        ("?.csv*", ["a.csv", "b.csv.gz"]),
    ],
)
def test_files_folders_and_globs_are_listed_without_hidden_ones(raw: Path, pattern: str, expected: list[str]) -> None:
    assert listed(raw, pattern) == expected


def test_of_several_globs_one_has_to_match(raw: Path) -> None:
    assert listed(raw, "*.json", "*.csv") == ["a.csv"]


def test_a_missing_file_is_named_with_its_resolved_path_and_the_nearest_one(raw: Path) -> None:
    with pytest.raises(SourceError, match=rf"input orders: .*{raw}/c.csv; did you mean {raw}/a.csv"):
        listed(raw, "c.csv")


def test_a_glob_without_a_match_is_named(raw: Path) -> None:
    with pytest.raises(SourceError, match=rf"no file matches \*.tsv, looked for {raw}/\*.tsv"):
        listed(raw, "*.tsv")


def test_an_optional_input_may_be_missing(raw: Path) -> None:
    assert listed(raw, "*.tsv", optional=True) == []


def test_a_log_of_empty_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").touch()
    with pytest.raises(SourceError, match=r"the log is empty: .*orders.csv"):
        listed(tmp_path, "orders.csv")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(SourceError, match=r"source shop: the Python package no_such_logs .*pip install no-such-logs"):
        root("shop", Source(package="no_such_logs"))


def test_a_checksum_follows_the_content_also_of_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Input(files=["log.csv"], fills="events", columns={})

    def checksum(content: bytes) -> str:
        (tmp_path / "log.csv").write_bytes(content)
        return list_files("shop", Source(root=str(tmp_path)), "orders", given)[0].checksum

    assert checksum(b"one") == checksum(b"one") != checksum(b"two")
    monkeypatch.setattr(files, "WHOLE", 1 << 20)
    zeros = bytes(5 << 20)
    assert checksum(zeros) == checksum(zeros) != checksum(zeros[:-1] + b"1")


def test_the_fingerprint_of_all_raw_files_changes_with_any_of_them(tmp_path: Path) -> None:
    conf = tmp_path / "shop.yaml"
    conf.write_text("sources: {shop: {extends: orders}}")
    (tmp_path / "a.csv").write_text("one")
    settings = load([conf]).settings

    before = fingerprint_inputs(settings)
    assert fingerprint_inputs(settings) == before
    (tmp_path / "b.csv").write_text("two")
    assert fingerprint_inputs(settings) != before
