"""A model is a folder: arrays, configuration, mappings and metrics, whole or absent, with checksums.

``<uri>`` holds a finished model and is never changed. ``<uri>.partial`` is where training keeps its checkpoint and
TensorBoard logs until the model is finished.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import fs

from shelfcast.errors import ModelError
from shelfcast.lake.paths import filesystem, is_local

CHECKSUMS = "checksums.json"
_MEND = "train it again, or point at a folder that a training run has finished"


def model_uri(lake: str, kind: str, version: str) -> str:
    """Where a model of this kind and version lies."""
    return f"{lake.rstrip('/')}/models/{kind}/{version}"


def partial(uri: str) -> str:
    """Where training of this model keeps what it needs to resume."""
    return f"{uri}.partial"


def logs_folder(uri: str) -> Path:
    """A local folder for TensorBoard logs of the model being trained."""
    if is_local(uri):
        folder = Path(filesystem(partial(uri))[1]) / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return Path(tempfile.mkdtemp(prefix="shelfcast-logs-"))


def put(uri: str, name: str, data: bytes) -> None:
    """Write one file of a folder; readers see the old file or the new one, never a part."""
    system, path = filesystem(uri)
    system.create_dir(path, recursive=True)
    target = f"{path}/{name}"
    if isinstance(system, fs.LocalFileSystem):
        temporary = Path(f"{target}.{os.getpid()}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)
        return
    with system.open_output_stream(target) as stream:
        stream.write(data)


def get(uri: str, name: str) -> bytes | None:
    """One file of a folder, None if it is not there."""
    system, path = filesystem(uri)
    try:
        with system.open_input_stream(f"{path}/{name}") as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return None


def publish(uri: str, files: Mapping[str, bytes], logs: Path | None = None) -> None:
    """Make the finished model appear at ``uri``, then forget its checkpoint.

    Args:
        files: name → content; their checksums are stored beside them.
        logs: folder of TensorBoard logs to go along, outside the checksums.
    """
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    whole = {**files, CHECKSUMS: encode_json(sums)}
    if is_local(uri):
        _publish_local(Path(filesystem(uri)[1]), Path(filesystem(partial(uri))[1]), whole, logs)
        return
    if logs is not None:
        for path in sorted(logs.rglob("*")):
            if path.is_file():
                put(f"{uri}/logs/{path.parent.relative_to(logs)}".rstrip("/."), path.name, path.read_bytes())
    for name, data in whole.items():  # the checksums come last: without them nothing loads
        put(uri, name, data)
    discard(partial(uri))


def _publish_local(target: Path, working: Path, whole: Mapping[str, bytes], logs: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    staged.chmod(0o755)
    for name, data in whole.items():
        (staged / name).write_bytes(data)
    if logs is not None and logs.is_dir():
        shutil.copytree(logs, staged / "logs")
    if target.exists():  # a damaged model of the same version gives way
        shutil.rmtree(target)
    staged.rename(target)
    shutil.rmtree(working, ignore_errors=True)


def discard(uri: str) -> None:
    """Remove a folder, if it is there."""
    system, path = filesystem(uri)
    if system.get_file_info(path).type == fs.FileType.Directory:
        system.delete_dir(path)


def complete(uri: str) -> bool:
    """Whether a finished, undamaged model lies at ``uri``."""
    try:
        load(uri)
    except ModelError:
        return False
    return True


def load(uri: str, names: Iterable[str] | None = None) -> dict[str, bytes]:
    """Files of a finished model, each checked against its checksum.

    Args:
        names: the files wanted; all if None.

    Raises:
        ModelError: naming the file that is missing or damaged.
    """
    sums = _checksums(uri)
    found: dict[str, bytes] = {}
    for name in sums if names is None else names:
        data = get(uri, name)
        if data is None or name not in sums:
            raise _missing(uri, name)
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise _damaged(uri, name)
        found[name] = data
    return found


def mapped(uri: str, name: str, copies: Path) -> NDArray[Any]:
    """An array of a finished model, a .npy file, mapped into memory: the processes of a host share its pages.

    Args:
        copies: a folder of this host, for a copy where the model lies elsewhere: the first process makes it, whole or
            not at all, for those that name the same folder.

    Raises:
        ModelError: naming the file if it is missing or damaged.
    """
    checksum = _checksums(uri).get(name)
    system, source = filesystem(f"{uri}/{name}")
    if checksum is None or system.get_file_info(source).type != fs.FileType.File:
        raise _missing(uri, name)
    path = Path(source)
    if not is_local(uri):
        path = copies / f"{checksum}-{name}"
        with (copies / f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                temporary = path.with_suffix(".tmp")
                with system.open_input_stream(source) as stream, temporary.open("wb") as copy:
                    shutil.copyfileobj(stream, copy, 1 << 24)
                temporary.replace(path)
    with path.open("rb") as file:
        intact = hashlib.file_digest(file, "sha256").hexdigest() == checksum
    if not intact:
        if not is_local(uri):
            path.unlink()  # a later process copies it again
        raise _damaged(uri, name)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _checksums(uri: str) -> dict[str, str]:
    listed = get(uri, CHECKSUMS)
    if listed is None:
        raise ModelError(f"model {uri}: file {CHECKSUMS} is missing, so the model is absent or unfinished; {_MEND}")
    try:
        return dict(json.loads(listed))
    except ValueError as error:
        raise ModelError(f"model {uri}: file {CHECKSUMS} is damaged ({error}); {_MEND}") from error


def _missing(uri: str, name: str) -> ModelError:
    return ModelError(f"model {uri}: file {name} is missing; {_MEND}")


def _damaged(uri: str, name: str) -> ModelError:
    return ModelError(f"model {uri}: file {name} is damaged, its checksum differs from {CHECKSUMS}; {_MEND}")


def encode_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()  # order kept: it numbers what it lists


def decode_json(data: bytes) -> Any:
    return json.loads(data)


def encode_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays of numbers or text as one .npz."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"array {name} holds Python objects; convert it to numbers or to fixed-width text")
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("/", "|"): array for name, array in arrays.items()})
    return buffer.getvalue()


def encode_array(array: NDArray[Any]) -> bytes:
    """One array as a .npy file, which :func:`mapped` can map."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def decode_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name.replace("|", "/"): stored[name] for name in stored.files}


def below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Those arrays whose names begin with ``prefix/``, without it."""
    return {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}
