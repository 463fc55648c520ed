"""A text is found wherever a file of the lake holds it, and only as a word of its own."""

import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from shelfcast.privacy.traces import Trace, summary, traces

ID = "person-4711"


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def found(lake, *texts, ids=("user_id",)):
    return [(trace.file, trace.place) for trace in traces(str(lake), texts or [ID], ids)]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        (pa.array(["x", f"of {ID}, and more"]), "c"),
        (pa.array(["x", ID]).dictionary_encode(), "c"),
        (pa.array([["x"], ["y", ID]]), "c"),
        (pa.array([{"a": {"b": ID}}, None]), "c.a.b"),
        (pa.array([[("k", ID)], []], pa.map_(pa.string(), pa.string())), "c.value"),
        (pa.array([[(ID, 1)], []], pa.map_(pa.string(), pa.int64())), "c.key"),
        (pa.array([json.dumps({"customer": ID}), None]), "c"),
    ],
)
@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_columns_of_parquet_files_are_decoded(lake, values, place, compression):
    lake.mkdir()
    pq.write_table(pa.table({"c": values, "d": ["x", "y"]}), lake / "a.parquet", compression=compression)
    assert found(lake) == [("a.parquet", place)]


@pytest.mark.parametrize("text", ["person-47110", "xperson-4711", "person-471", "Person-4711"])
def test_part_of_a_longer_word_is_another_text(lake, text):
    lake.mkdir()
    pq.write_table(pa.table({"c": [text]}), lake / "a.parquet")
    (lake / "b.html").write_text(f"<td>{text}</td>")
    assert found(lake) == []


def test_logs_checkpoints_and_statistics_are_read(lake):
    for number in range(3):
        write_deltalake(str(lake / "t"), pa.table({"user_id": [ID], "n": [number]}), mode="append")
    table = DeltaTable(str(lake / "t"))
    table.create_checkpoint()
    table.delete("n >= 0")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    files = {file for file, _ in found(lake)}
    logs = {f"t/_delta_log/{number:020}.json" for number in range(3)}
    assert logs < files, "their statistics hold it, though the data is gone"
    assert "t/_delta_log/00000000000000000002.checkpoint.parquet" in files
    assert not any(file.endswith(".parquet") and "checkpoint" not in file for file in files)


def test_archives_compressed_files_and_pages_are_opened(lake):
    lake.mkdir()
    (lake / "page.html").write_text(f"<p>{ID}</p>")
    (lake / "log.json.gz").write_bytes(gzip.compress(ID.encode()))
    with zipfile.ZipFile(lake / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.json", json.dumps([ID]))
        archive.writestr("other.json", "[]")
    assert found(lake) == [("log.json.gz", ""), ("model.keras", "names.json"), ("page.html", "")]


def test_a_short_text_is_looked_for_in_columns_of_ids_alone(lake):
    lake.mkdir()
    table = pa.table({"user_id": pa.array([7, 8]), "product_id": ["7", "9"], "card": ["7", None]})
    pq.write_table(table, lake / "a.parquet")
    (lake / "page.html").write_text("7 weeks")
    assert found(lake, "7", ids=("user_id", "card")) == [("a.parquet", "card"), ("a.parquet", "user_id")]
    assert found(lake, "9", ids=("user_id", "card")) == []


def test_an_empty_or_missing_lake_tells_nothing(lake):
    assert found(lake) == []


def test_the_summary_counts_files_by_folder_and_place():
    listed = [Trace("t/a.parquet", "c"), Trace("t/b.parquet", "c"), Trace("t/b.parquet", "d")]
    assert summary(listed) == [
        {"folder": "t", "place": "c", "files": 2},
        {"folder": "t", "place": "d", "files": 1},
    ]
