"""Transforms raw columns that name a person, before anything is stored."""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.ingest.canonical import Reading
from shelfcast.ingest.lookups import KEYS
from shelfcast.lake.expressions import references
from shelfcast.lake.paths import filesystem, is_local, split
from shelfcast.settings import Settings

_BLOCK = 64  # bytes of a SHA-256 block


def policies(spark: SparkSession, reading: Reading) -> dict[str, str]:
    """What becomes of each raw column that names a person: as configured; else what makes ``user_id`` is hashed."""
    text = reading.given.columns.get("user_id")
    found = references(spark, text, reading.key("columns.user_id")) if text is not None else set()
    own = {name[0]: "hash" for name in found if name[0] not in KEYS and name[0] != "_time_zone"}
    return {**own, **reading.given.identities}


def load_key(settings: Settings, lake: str, say: Callable[[str], None]) -> bytes:
    """The key of the keyed hash, as ``identity_key`` names it.

    Raises:
        ConfigError: if the variable or file is missing or empty.
    """
    named = settings.identity_key
    if named is None:
        return _own_key(lake, say)
    kind, _, place = named.partition(":")
    if kind == "env":
        key = os.environ.get(place, "").encode()
        if not key:
            raise ConfigError(f"identity_key is {named}, but the environment variable {place} is not set or empty")
        return key
    if kind == "file":
        path = Path(place).expanduser().resolve()
        if not path.is_file() or not path.read_bytes().strip():
            raise ConfigError(f"identity_key is {named}, but {path} does not exist or is empty")
        return path.read_bytes().strip()
    raise ConfigError(f"identity_key is {named!r}; write env:NAME, file:PATH or null")


def _own_key(lake: str, say: Callable[[str], None]) -> bytes:
    """The lake's own key file, made on first use; mode 0600 where the file system has modes."""
    if not is_local(lake) and not split(lake)[1]:
        raise ConfigError(
            f"the lake {lake} is a whole bucket, so there is no place beside it for the key that person columns are "
            "hashed with: set identity_key to env:NAME or file:PATH, or put the lake in a folder of the bucket"
        )
    place = f"{lake}.identity.key"
    files, inner = filesystem(place)
    if not files.get_file_info(inner).is_file:
        key = secrets.token_hex(32).encode()
        if is_local(place):
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as out:
                out.write(key)
        else:
            with files.open_output_stream(inner) as out:
                out.write(key)
        say(f"made the key that person columns are hashed with: {place}; keep it, without it ids cannot be matched")
        return key
    with files.open_input_stream(inner) as opened:
        return bytes(opened.read()).strip()


def transform(frame: DataFrame, policies: Mapping[str, str], key: bytes) -> DataFrame:
    """Apply a policy to each named column that is there; the others stay as they are.

    ``hash``: HMAC-SHA256 of the text, 32 hexadecimal digits. ``generalise``: numbers down to tens, other texts to
    their first two characters. ``drop``: the column goes. ``keep``: as it is.
    """
    for name, policy in policies.items():
        if name not in frame.columns:
            continue
        text = F.col(f"`{name}`").cast("string")
        if policy == "drop":
            frame = frame.drop(name)
        elif policy == "hash":
            frame = frame.withColumn(name, F.substring(hmac_sha256(text, key), 1, 32))
        elif policy == "generalise":
            tens = (F.floor(text.try_cast("double") / 10) * 10).cast("string")
            frame = frame.withColumn(name, F.coalesce(tens, F.substring(text, 1, 2)))
    return frame


def hmac_sha256(text: Column, key: bytes) -> Column:
    """HMAC-SHA256 (RFC 2104) of a text column as hexadecimal digits, from built-in functions; null stays null."""
    padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = F.lit(bytes(byte ^ 0x36 for byte in padded))
    outer = F.lit(bytes(byte ^ 0x5C for byte in padded))
    digest = F.unhex(F.sha2(F.concat(inner, F.encode(text, "UTF-8")), 256))
    return F.sha2(F.concat(outer, digest), 256)
