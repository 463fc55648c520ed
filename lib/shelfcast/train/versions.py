"""What a training ran with, besides its configuration and data."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("shelfcast", "tensorflow-cpu", "tensorflow", "keras", "horovod", "numpy", "scipy", "numba", "pyarrow")


def versions(made_of: Mapping[str, Any]) -> dict[str, Any]:
    """Of Python and of the packages that decide a model's weights, as this rank sees them; missing ones are left out.

    Args:
        made_of: what the driver knows: room → hash of its code, table → slice → content id.
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "machine": platform.machine(), "packages": found, **made_of}
