"""What every test starts from: quiet libraries, this environment's Python in Spark's workers, hypothesis profiles."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

# A first example may start Spark or TensorFlow, so time says nothing about a test.
_slow = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("default", deadline=None, suppress_health_check=_slow)
settings.register_profile("ci", deadline=None, suppress_health_check=_slow, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def window_table() -> Callable[..., pa.Table]:
    """Makes rows of gold/windows: ``window_table(units [N, context], length=[...], brand=[...])``, all else plain."""

    def make(units: Any, *, length: Any = None, age: Any = None, horizon: int = 3, **changed: Any) -> pa.Table:
        units = np.asarray(units, np.float32)
        rows, context = units.shape
        length = np.full(rows, context) if length is None else np.asarray(length)
        columns: dict[str, Any] = {
            "grain": ["week.product"] * rows,
            "product_id": [f"p{n}" for n in range(rows)],
            "store_id": ["*"] * rows,
            "cutoff": [date(2017, 11, 26)] * rows,
            "bucket": pa.array(np.arange(rows) % 1024, pa.int32()),
            "age": pa.array(length if age is None else age, pa.int32()),
            "length": pa.array(length, pa.int32()),
            "units": list(units),
            "orders": list((units > 0).astype(np.float32)),
            "price": list(np.where(units > 0, 2.0, 0.0).astype(np.float32)),
            "discount": list(np.zeros_like(units)),
            "available": list(np.ones_like(units)),
            "listed": pa.array(np.full(rows, horizon), pa.int32()),
        }
        planned = ("display", "display_main", "mailer", "mailer_main", "holiday", "month_start", "year_phase")
        columns |= {name: list(np.zeros((rows, context + horizon), np.float32)) for name in planned}
        columns |= {name: ["x"] * rows for name in ("department", "category", "brand", "manufacturer")}
        return pa.table(columns | changed)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an empty S3-compatible server on loopback: a process of its own, as a real one is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
