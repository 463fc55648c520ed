"""Trials at rolling origins, with their own processes: tables of an ablation, and origins that cannot be tried."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from shelfcast.ablation import SHIPPED, ablation, variants
from shelfcast.config import load
from shelfcast.errors import ConfigError
from shelfcast.lake.commits import arrow_schema
from shelfcast.lake.tables import contract
from shelfcast.pipeline import Pipeline
from shelfcast.trials import rolling

CONTEXT, HORIZON = 30, 2
NEWEST = date(2017, 11, 26)  # the end of the last origin's horizon
LAST = NEWEST - timedelta(weeks=HORIZON)
SETS = (
    f"windows.context={CONTEXT}", f"windows.horizon={HORIZON}", "windows.stride=null", "train.launcher=inline",
    "train.ranks=1", "forecaster.units=4", "forecaster.layers=1", "forecaster.dense=4", "forecaster.epochs=1",
    "forecaster.least_steps=1", "forecaster.batch=16", "evaluate.min_sale_weeks=3",
)  # fmt: skip


class Quiet:
    def begin(self, step, slice_):
        return str

    def end(self, done):
        pass


@pytest.fixture
def settings(tmp_path, window_table, monkeypatch):
    """A lake with windows up to NEWEST and events up to that week; which steps were asked for is kept in ``ran``."""
    units = np.random.default_rng(1).poisson(4, (20, CONTEXT))
    write_deltalake(str(tmp_path / "gold/windows"), window_table(units, horizon=HORIZON), partition_by=["cutoff"])
    day = pa.scalar(0, pa.timestamp("us", "UTC")).as_py()
    event = {
        "event_id": "e", "event_time": day, "event_date": NEWEST, "week_start": NEWEST - timedelta(days=6),
        "event_type": "purchase", "product_id": "p", "store_id": "*", "source": "s", "ingest_id": "i",
        "ingested_at": day,
    }  # fmt: skip
    rows = pa.Table.from_pylist([event], schema=arrow_schema(contract("silver/events")))
    write_deltalake(str(tmp_path / "silver/events"), rows, partition_by=["week_start"])
    ran = []
    monkeypatch.setattr(Pipeline, "run", lambda _, stage, as_of=None: ran.append((stage.name, as_of)))
    return load(sets=SETS, lake=str(tmp_path)).settings, ran


@pytest.mark.slow
def test_an_ablation_measures_every_variant_once_at_every_origin(settings):
    given, ran = settings
    result = ablation(given, [LAST], Quiet(), ["without price"])
    assert ran == [("ingest", None), ("features", NEWEST)]  # nothing later than the horizon of the last origin
    found = result.document["variants"]
    assert list(found) == [SHIPPED, "without price"]
    assert found[SHIPPED]["origins"][LAST.isoformat()]["series"] == 20
    assert found["without price"]["difference"]["nll"] == pytest.approx(
        found["without price"]["nll"] - found[SHIPPED]["nll"]
    )
    assert found["without price"]["difference"]["nll"] != 0
    assert result.document["ratio"] == found[SHIPPED]["wape"] / found["without price"]["wape"]
    # What was tried is not trained again: with a launcher that cannot start, the same figures come back.
    broken = given.model_copy(update={"train": given.train.model_copy(update={"timeout_minutes": 0})})
    assert ablation(broken, [LAST], Quiet(), ["without price"]).document == result.document


def test_each_variant_differs_from_the_shipped_configuration():
    shipped = load().settings.forecaster
    found = variants(shipped)
    assert found.pop(SHIPPED) is shipped
    assert all(hyper != shipped for hyper in found.values())
    assert "price" not in found["without price"].inputs
    assert found["without statics"].embeddings == {}


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ([], "no origins were given"),
        ([LAST, LAST - timedelta(weeks=CONTEXT)], "choose them nearer"),
        ([NEWEST], "has not arrived"),
    ],
)
def test_origins_that_cannot_be_tried_are_refused(settings, origins, said):
    with pytest.raises(ConfigError, match=said):
        rolling(settings[0], origins, Quiet())
