"""Packs what runs on a cluster into one archive for ``spark-submit --archives``.

It holds the Python interpreter itself, the locked packages that shelfcast needs (not those for development), and
shelfcast with its configuration. Nodes need no Python of their own, only a Linux of the same kind. Spark's and Delta's
jars are the platform's.
"""

import argparse
import gzip
import re
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

import shelfcast

LIBRARY = PurePosixPath("lib") / f"python{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = LIBRARY / "site-packages"
INTERPRETER = f"bin/python{sys.version_info[0]}.{sys.version_info[1]}"
# An interpreter may know its shared library by an absolute path of the machine that it was built on.
START = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/%s" "$@"
"""
LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}
NOT_HERE = re.compile(r"pyspark/(jars|bin|sbin|examples|data|licenses)/|tensorflow/include/|\.\./")


def main() -> int:
    options = argparse.ArgumentParser(prog="scripts/pack", description=__doc__)
    options.add_argument("archive", type=Path, help="a .tar.gz to be written")
    options.add_argument("--level", type=int, default=6, choices=range(10), help="of compression; 0 is quick and large")
    given = options.parse_args()
    if not given.archive.name.endswith((".tar.gz", ".tgz")):  # Spark unpacks others without their permissions
        options.error(f"{given.archive} must end in .tar.gz")
    started = time.monotonic()
    pack(given.archive, given.level)
    size = given.archive.stat().st_size / 1e6
    print(f"{given.archive}: {size:,.0f} MB in {time.monotonic() - started:,.0f} s", file=sys.stderr)
    return 0


def pack(archive: Path, level: int) -> None:
    """Write the archive; there is a whole one or none."""
    temporary = archive.with_name(f".{archive.name}.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile("", "wb", level, raw, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as tar,
        ):
            for name, path in sorted(contents().items()):
                tar.add(path, str(name), recursive=False)
            _add_start(tar)
        temporary.replace(archive)
    finally:
        temporary.unlink(missing_ok=True)


def contents() -> dict[PurePosixPath, Path]:
    """Place in the archive → file."""
    found = {PurePosixPath(INTERPRETER): Path(sys.executable).resolve()}
    standard = Path(sysconfig.get_path("stdlib"))
    for path in _below(standard):
        inside = path.relative_to(standard)
        if not LEFT_OUT & set(inside.parts) and not inside.parts[0].startswith("config-"):
            found[LIBRARY / inside] = path
    shared = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
    if ".so" in shared.name:
        found[PurePosixPath("lib") / shared.name] = shared
    for one in distributions():
        for file in one.files or ():
            path = Path(str(one.locate_file(file)))
            if not NOT_HERE.match(str(file)) and path.is_file():
                found[PACKAGES / str(file)] = path
                compiled = Path(cache_from_source(str(path)))  # else every executor compiles what it imports
                if path.suffix == ".py" and compiled.is_file():
                    found[PACKAGES / PurePosixPath(str(file)).parent / "__pycache__" / compiled.name] = compiled
    own = Path(shelfcast.__file__).parent
    for path in _below(own):
        found[PACKAGES / "shelfcast" / path.relative_to(own)] = path.resolve()
    return found


def distributions() -> list[Distribution]:
    """What shelfcast requires, and what that requires; what is required on other platforms is not installed."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("shelfcast")]
    while waiting:
        wanted = waiting.pop()
        try:
            one = distribution(wanted.name)
        except PackageNotFoundError:
            continue
        if one.name not in found:
            found[one.name] = one
            extras = ("", *wanted.extras)
            for line in one.requires or ():
                need = Requirement(line)
                if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                    waiting.append(need)
    del found["shelfcast"]  # a checkout's is a link to it
    return list(found.values())


def _below(folder: Path) -> Iterator[Path]:
    """Files of a folder, also of the folders that it links to."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name != "__pycache__":
                yield from _below(path)
        else:
            yield path


def _add_start(tar: tarfile.TarFile) -> None:
    """bin/python: what PYSPARK_PYTHON names."""
    import io

    text = (START % PurePosixPath(INTERPRETER).name).encode()
    for name in ("bin/python", "bin/python3"):
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(text), 0o755, 0
        tar.addfile(member, io.BytesIO(text))


if __name__ == "__main__":
    raise SystemExit(main())
