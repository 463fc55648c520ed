"""lake/raw_delta.py: a raw log that arrives as a Delta table is read file by file."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from shelfcast.errors import TableMissing
from shelfcast.lake.raw_delta import current_files


def test_the_newest_versions_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    for mode in ("append", "overwrite", "append"):
        write_deltalake(tmp_path, pa.table({"n": [1, 2]}), mode=mode)

    found = current_files(str(tmp_path))

    assert len(found) == 2  # the first commit's file was overwritten
    assert {size for _, size in found} == {(tmp_path / path).stat().st_size for path, _ in found}


def test_a_folder_that_holds_no_delta_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TableMissing, match=f"{tmp_path} is no Delta table"):
        current_files(str(tmp_path))
