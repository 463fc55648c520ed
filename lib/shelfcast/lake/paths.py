"""Where things lie below a lake's URI: a local folder, or any URI that Spark, deltalake and pyarrow understand."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

from pyarrow import fs

_STORES = ("AWS_", "AZURE_", "GOOGLE_")
_OF_S3A = {  # what Spark is told of S3, under the names that deltalake and pyarrow know
    "access.key": ("AWS_ACCESS_KEY_ID",),
    "secret.key": ("AWS_SECRET_ACCESS_KEY",),
    "session.token": ("AWS_SESSION_TOKEN",),
    "endpoint": ("AWS_ENDPOINT_URL",),
    "endpoint.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}


def normalise(lake: str) -> str:
    """An absolute local path, or the URI without a trailing slash."""
    parsed = urlparse(lake)
    if parsed.scheme in ("", "file"):
        return str(Path(parsed.path if parsed.scheme else lake).expanduser().resolve())
    return lake.rstrip("/")


def table_uri(lake: str, table: str) -> str:
    return f"{lake}/{table}"


def is_local(uri: str) -> bool:
    return uri.partition("://")[0] == "file" or "://" not in uri


def is_s3(uri: str) -> bool:
    return uri.startswith(("s3://", "s3a://"))


def split(uri: str) -> tuple[str, str]:
    """A URI's store (``s3a://bucket/``, ``abfss://container@account/``, ``hdfs://host:port/``) and the path in it."""
    scheme, _, rest = uri.partition("://")
    authority, _, below = rest.partition("/")
    return f"{scheme}://{authority}/", below


def storage_options(uri: str) -> dict[str, str] | None:
    """Object-store settings for deltalake, taken from the process environment (AWS_*, AZURE_*, GOOGLE_*)."""
    if is_local(uri):
        return None
    found = {key: value for key, value in os.environ.items() if key.startswith(_STORES)}
    if found.get("AWS_ENDPOINT_URL", "").startswith("http://"):  # whoever names such an endpoint means it
        found.setdefault("AWS_ALLOW_HTTP", "true")
    return found


def spark_options() -> dict[str, str]:
    """What Spark has to be told besides, so that it finds the same S3 by the same environment.

    Spark itself takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_ENDPOINT_URL.
    """
    options: dict[str, str] = {}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        options["spark.hadoop.fs.s3a.endpoint.region"] = region
    if os.environ.get("AWS_ENDPOINT_URL"):  # such a server has no host name per bucket
        options["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return options


def adopt(conf: Mapping[str, str]) -> None:
    """Let deltalake and pyarrow in this process and its children find S3 as ``spark.conf`` describes it.

    What the environment says already stays. Settings of single buckets are not looked at.
    """
    given = {name: conf.get(f"spark.hadoop.fs.s3a.{name}") for name in _OF_S3A}
    if given["endpoint"] and "://" not in given["endpoint"]:
        secure = conf.get("spark.hadoop.fs.s3a.connection.ssl.enabled", "true").lower() == "true"
        given["endpoint"] = f"{'https' if secure else 'http'}://{given['endpoint']}"
    for name, variables in _OF_S3A.items():
        for variable in variables:
            if given[name]:
                os.environ.setdefault(variable, str(given[name]))


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow file system of a URI and the path inside it; characters of the path mean themselves."""
    if is_local(uri):
        return fs.LocalFileSystem(), urlparse(uri).path if uri.startswith("file:") else uri
    store, below = split(uri)
    found, inner = _connected(store, tuple(sorted((storage_options(uri) or {}).items())))
    return found, f"{inner.rstrip('/')}/{below}".rstrip("/")


def uri_of(path: str, beside: str) -> str:
    """The URI of a path inside the file system that another URI leads to."""
    if is_local(beside):
        return f"file://{path}" if beside.startswith("file:") else path
    store, below = split(beside)
    inside = filesystem(beside)[1].removesuffix(below.rstrip("/"))
    return store + path.removeprefix(inside).lstrip("/")


@lru_cache(maxsize=16)
def _connected(store: str, known: tuple[tuple[str, str], ...]) -> tuple[fs.FileSystem, str]:  # noqa: ARG001
    """A connection is kept for as long as the environment, ``known``, is the same."""
    found, inner = fs.FileSystem.from_uri(store.replace("s3a://", "s3://"))
    return found, inner
