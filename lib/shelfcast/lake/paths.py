"""Where things lie below a lake's URI: a local folder, or any URI that Spark, deltalake and pyarrow understand."""

import os
from pathlib import Path
from urllib.parse import urlparse

from pyarrow import fs


def normalise(lake: str) -> str:
    """An absolute local path, or the URI without a trailing slash."""
    parsed = urlparse(lake)
    if parsed.scheme in ("", "file"):
        return str(Path(parsed.path if parsed.scheme else lake).expanduser().resolve())
    return lake.rstrip("/")


def table_uri(lake: str, table: str) -> str:
    return f"{lake}/{table}"


def is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")


def storage_options(uri: str) -> dict[str, str] | None:
    """Object-store settings for deltalake, taken from the process environment (AWS_*, AZURE_*, GOOGLE_*)."""
    if is_local(uri):
        return None
    return {key: value for key, value in os.environ.items() if key.startswith(("AWS_", "AZURE_", "GOOGLE_"))}


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow file system of a URI and the path inside it."""
    if is_local(uri):
        return fs.LocalFileSystem(), urlparse(uri).path if uri.startswith("file:") else uri
    found, path = fs.FileSystem.from_uri(uri.replace("s3a://", "s3://"))
    return found, path
