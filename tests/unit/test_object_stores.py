"""A lake or a raw log on an object store: an S3-compatible server on loopback, and how settings reach its readers."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow import fs

from shelfcast.config import load
from shelfcast.errors import ConfigError, EnvironmentProblem
from shelfcast.ingest.files import list_files
from shelfcast.ingest.identity import load_key
from shelfcast.lake import overview, paths, session
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome
from shelfcast.models import folder
from shelfcast.report.run import write
from shelfcast.settings import Input, Source


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is said of any object store; what a test lets be said is forgotten after it."""
    ours = [name for names in paths._OF_S3A.values() for name in names]
    for name in {*ours, *(name for name in os.environ if name.startswith(paths._STORES))}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def bucket(s3_server: str, environment: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket of the server, which the environment names."""
    name = f"b{abs(hash(request.node.name)):x}"
    environment.setenv("AWS_ENDPOINT_URL", s3_server)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(variable, "test")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3a://{name}"


def put(uri: str, text: str) -> None:
    store, path = paths.filesystem(uri)
    with store.open_output_stream(path) as stream:
        stream.write(text.encode())


@pytest.mark.parametrize(
    "name", ["a b.csv", "day=2024-01-01 00%3A00/c.csv", "what?.csv", "x[1].csv", "n#1.csv", "ä.csv"]
)
def test_a_raw_file_is_found_whatever_its_name(bucket: str, name: str) -> None:
    put(f"{bucket}/raw/{name}", "one")
    given = Input(files=["**/*.csv"], fills="events", columns={})

    (file,) = list_files("shop", Source(root=f"{bucket}/raw"), "orders", given)

    assert (file.path, file.uri, file.size) == (name, f"{bucket}/raw/{name}", 3)


def test_a_glob_with_a_question_mark_is_no_query_of_a_uri(bucket: str) -> None:
    for name in ("1.csv", "12.csv"):
        put(f"{bucket}/raw/{name}", name)
    given = Input(files=["?.csv"], fills="events", columns={})

    listed = list_files("shop", Source(root=f"{bucket}/raw"), "orders", given)

    assert [file.path for file in listed] == ["1.csv"]


@pytest.mark.parametrize(
    ("root", "inside"),
    [
        ("abfss://logs@account.dfs.core.windows.net", "logs"),
        ("hdfs://namenode:8020", "/"),
        ("gs://logs", "logs"),
    ],
)
def test_files_of_other_stores_keep_their_whole_uri(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str, inside: str
) -> None:
    local = fs.LocalFileSystem()
    connected = (local, str(tmp_path)) if inside == "/" else (fs.SubTreeFileSystem(str(tmp_path), local), inside)
    monkeypatch.setattr(paths, "_connected", lambda *_: connected)
    path = tmp_path / inside.strip("/") / "raw/2024/a.csv"
    path.parent.mkdir(parents=True)
    path.write_text("one")
    given = Input(files=["*/*.csv"], fills="events", columns={})

    (file,) = list_files("shop", Source(root=f"{root}/raw"), "orders", given)

    assert (file.path, file.uri) == ("2024/a.csv", f"{root}/raw/2024/a.csv")


def test_the_ledger_the_tables_a_model_and_a_page_lie_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    lake = f"{bucket}/lake"
    ledger = Ledger(lake)
    ledger.finish(ledger.start("r", "ingest", "*", "f"), None, Outcome(rows_in=1))
    assert [(r.attempt, r.status) for r in ledger.records()] == [(1, "done")]
    write_deltalake(f"{lake}/bronze/shop/lines", pa.table({"n": [1]}), storage_options=paths.storage_options(lake))
    assert [t["table"] for t in overview.tables(lake)] == ["bronze/shop/lines", "ops/runs"]

    model = folder.model_uri(lake, "forecaster", "abc")
    folder.put(folder.partial(model), "checkpoint.json", b"x")
    folder.publish(model, {"a.npy": folder.encode_array(pa.array([1, 2]).to_numpy())})
    assert folder.mapped(model, "a.npy", tmp_path).tolist() == [1, 2]
    assert folder.get(folder.partial(model), "checkpoint.json") is None
    page = write(f"{lake}/reports/day.html", "<p>ä")
    assert folder.get(f"{lake}/reports", "day.html") == "<p>ä".encode()
    assert page == f"{lake}/reports/day.html"


def test_of_two_who_write_the_ledger_at_once_neither_is_lost(bucket: str) -> None:
    ledger = Ledger(bucket + "/lake")
    ledger.start("r", "first", "*", "f")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: ledger.start("r", step, "*", "f"), "abcd"))
    assert sorted(record.step for record in ledger.records()) == ["a", "b", "c", "d", "first"]


def test_what_a_person_is_hashed_with_lies_beside_the_lake_and_never_in_a_bucket_of_its_own(bucket: str) -> None:
    settings = load().settings
    key = load_key(settings, f"{bucket}/lake", lambda _: None)
    assert load_key(settings, f"{bucket}/lake", lambda _: None) == key
    assert folder.get(bucket, "lake.identity.key") == key
    with pytest.raises(ConfigError, match=r"is a whole bucket.*set identity_key"):
        load_key(settings, bucket, lambda _: None)


def test_a_bucket_that_is_not_there_is_named_with_what_to_check(bucket: str) -> None:
    with pytest.raises(EnvironmentProblem, match=r"s3a://no-such-bucket/lake/ops/runs cannot be read: .*AWS_\*"):
        Ledger("s3a://no-such-bucket/lake").records()
    assert not Snapshot.exists(bucket, "ops/runs")


def test_what_spark_is_told_of_s3_reaches_the_others_unless_the_environment_says_otherwise(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    told = {"access.key": "me", "secret.key": "theirs", "endpoint": "store:9000", "endpoint.region": "here"}
    conf = {f"spark.hadoop.fs.s3a.{name}": value for name, value in told.items()}

    paths.adopt(conf | {"spark.hadoop.fs.s3a.connection.ssl.enabled": "false"})

    assert paths.storage_options("s3a://bucket/lake") == {
        "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_ENDPOINT_URL": "http://store:9000",
        "AWS_REGION": "here", "AWS_DEFAULT_REGION": "here", "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    assert paths.spark_options() == {
        "spark.hadoop.fs.s3a.endpoint.region": "here",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }


def test_without_the_jars_of_s3a_a_session_says_how_to_bring_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHELFCAST_JARS", str(tmp_path))
    (tmp_path / "delta.jar").touch()
    with pytest.raises(EnvironmentProblem, match=r"s3a://bucket/lake needs jars .* scripts/fetch_jars\.py s3a"):
        session._own(load(lake="s3a://bucket/lake").settings)
    (tmp_path / "s3a").mkdir()
    (tmp_path / "s3a/hadoop-aws.jar").touch()
    options = session._own(load(lake="s3a://bucket/lake").settings)
    assert options["spark.jars"] == f"{tmp_path}/delta.jar,{tmp_path}/s3a/hadoop-aws.jar"
