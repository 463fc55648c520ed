"""Scoring: rows that the model itself gives, for every active series, or nothing at all."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F

from shelfcast.errors import GateFailed, ModelError, ReconciliationError
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import contract
from shelfcast.models import folder, forecaster
from shelfcast.models.calibration import Calibrations
from shelfcast.models.trained_forecaster import TrainedForecaster
from shelfcast.models.window_tensors import Inputs
from shelfcast.score import forecasts

CONTEXT, HORIZON = 30, 2
AS_OF = date(2017, 11, 28)  # a Tuesday: the last complete week ended on Sunday the 26th
CUTOFF = date(2017, 11, 26)
_SHORT = ("windows.horizon=2", "windows.context=30", "windows.stride=28", "score.batch=2")


@pytest.fixture(scope="module")
def model():
    """A small network with weights of its own."""
    inputs = Inputs(groups=())
    shape = forecaster.Shape(
        len(inputs.history) + 1, 6, HORIZON, {"brand": 2}, {"brand": 2}, units=4, layers=1, dense=4, dropout=0.0
    )
    network = forecaster.built(shape, seed=2)
    network.heads.kernel.assign(np.random.default_rng(2).normal(0, 0.3, network.heads.kernel.shape))
    norm = {"mean": [0.0] * len(inputs.history), "deviation": [1.0] * len(inputs.history)}
    return TrainedForecaster([network], {"brand": ["x"]}, norm, inputs, Calibrations(), 0.3, CONTEXT, HORIZON)


@pytest.fixture
def rows(window_table):
    units = np.random.default_rng(1).poisson(3, (5, CONTEXT))
    return window_table(units, horizon=HORIZON, cutoff=[CUTOFF] * 5)


@pytest.fixture
def scored(spark, step, configured, model, rows, tmp_path):
    """A step on a lake with five windows, active series as named, and the model; small batches."""

    def prepare(active=5, **changed):
        uri = folder.model_uri(str(tmp_path), "forecaster", "v1")
        folder.publish(uri, replace(model, **changed).files())
        made = step(
            as_of=AS_OF,
            settings=configured(*_SHORT),
            models={"forecaster": uri},
        )
        promised = contract("gold/windows")
        windows = spark.createDataFrame(rows.to_pandas()[promised.names()], promised.schema())
        made.replace("gold/windows", windows, [CUTOFF])
        listed = [
            ("week.product", f"p{n}", "*", AS_OF, CUTOFF, CUTOFF, 5, 9.0, "active", "running", *[None] * 7)
            for n in range(active)
        ]
        made.replace("gold/series", spark.createDataFrame(listed, contract("gold/series").schema()), [AS_OF])
        return made

    return prepare


def test_a_scored_batch_equals_the_model_called_directly(scored, model, rows):
    made = scored()
    outcome = forecasts.run(made)
    assert (outcome.rows_in, outcome.rows_out) == (5, 5 * HORIZON * 2)
    found = made.read("gold/forecasts").orderBy("product_id", "cumulative", "horizon").toPandas()
    direct = model.forecast(rows)
    assert np.allclose(found["mean"], direct.mean.reshape(-1), rtol=1e-5)
    assert np.array_equal(found[["q10", "q50", "q90"]].to_numpy(), direct.quantiles.reshape(-1, 3))
    stored = np.array([[d["zero"], d["mean"], d["dispersion"]] for d in found["distribution"]])
    assert np.allclose(stored, np.stack(direct.distribution, -1).reshape(-1, 3), rtol=1e-5)
    assert set(found["model_version"]) == {"v1"}


def test_what_drove_the_forecasts_is_stored_as_shares_that_add_up_to_one(scored, tmp_path):
    made = scored()
    forecasts.run(made)
    found = Snapshot(str(tmp_path / "lake"), "ops/metrics").arrow().to_pylist()
    of_all = {
        row["segment"]: row["value"] for row in found if row["metric"] == "contribution" and "," not in row["segment"]
    }
    assert set(of_all) == {f"group={name}" for name in ("history", "price", "promotion", "calendar", "statics")}
    assert sum(of_all.values()) == pytest.approx(1)
    assert of_all["group=history"] > of_all["group=promotion"] == 0  # nothing was ever promoted
    assert {row["model_version"] for row in found} == {"v1"}


def test_targets_start_after_the_last_complete_week(scored):
    made = scored()
    forecasts.run(made)
    found = made.read("gold/forecasts").select("horizon", "cumulative", "target_start").distinct().collect()
    assert {tuple(row) for row in found} == {
        (1, False, date(2017, 11, 27)),
        (2, False, date(2017, 12, 4)),
        (1, True, date(2017, 11, 27)),
        (2, True, date(2017, 11, 27)),
    }


def test_an_active_series_without_a_window_stops_the_step_before_anything_is_written(scored):
    made = scored(active=6)
    with pytest.raises(ReconciliationError, match=r"1 of 6 series.*p5"):
        forecasts.run(made)
    assert not made.has("gold/forecasts")


def test_a_forecast_of_a_series_that_is_not_active_stops_the_step(scored):
    with pytest.raises(ReconciliationError, match=r"1 of 5 series.*p4"):
        forecasts.run(scored(active=4))


def test_crossing_quantiles_are_told(spark, scored):
    made = scored()
    forecasts.run(made)
    stored = made.read("gold/forecasts")
    crossed = stored.withColumn("q10", F.when(F.col("product_id") == "p2", F.col("q90") + 1).otherwise(F.col("q10")))
    with pytest.raises(ReconciliationError, match="p2"):
        forecasts.reconcile(crossed, made.read("gold/series"), HORIZON, AS_OF)


def test_a_damaged_model_is_told_before_spark_starts_a_task(scored, tmp_path):
    made = scored()
    (tmp_path / "models/forecaster/v1/weights.npz").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match=r"weights\.npz is damaged"):
        forecasts.run(made)


def test_forecasts_far_from_what_sold_or_from_the_slice_before_are_not_written(scored, spark, step, configured):
    made = scored()
    made = replace(made, settings=configured(*_SHORT, "gates.least=1", "gates.shift=null", "gates.forecast_times=1.01"))
    with pytest.raises(GateFailed, match=r"gold/forecasts of 2017-11-28, week\.product, units a period: .* expected"):
        forecasts.run(made)
    assert not made.has("gold/forecasts")

    made = replace(made, settings=configured(*_SHORT, "gates.least=1", "gates.forecast_times=null"))
    forecasts.run(made)
    written = made.lake.read("gold/forecasts")
    last_week = AS_OF - timedelta(weeks=1)
    earlier = written.withColumns({"as_of": F.lit(last_week), "mean": F.col("mean") * 50})
    made.replace("gold/forecasts", earlier, [last_week])
    Ledger(made.lake.uri).publish(last_week, {"gold/forecasts": made.outputs["gold/forecasts"]}, "r")
    with pytest.raises(GateFailed, match=r"tenths of the means before: shifted by a population stability index"):
        forecasts.run(replace(made, inputs={}, attempt=made.attempt + 100))
    version = made.lake.version("gold/forecasts")
    forecasts.run(
        replace(made, inputs={}, attempt=made.attempt + 200, settings=configured(*_SHORT, "gates.shift=null"))
    )
    assert made.lake.version("gold/forecasts") == version + 1
