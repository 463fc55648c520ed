"""``shelfcast explain``: the published forecasts of one product, taken apart."""

import json
from datetime import date, timedelta
from io import StringIO

import numpy as np
import pytest
from deltalake import write_deltalake
from report_lake import put
from rich.console import Console

from shelfcast import explanation
from shelfcast.cli import main
from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake.ledger import Ledger
from shelfcast.models import folder, forecaster
from shelfcast.models.attribution import GROUPS
from shelfcast.models.calibration import Calibration, Calibrations
from shelfcast.models.trained_forecaster import TrainedForecaster
from shelfcast.models.window_tensors import Inputs

CONTEXT, HORIZON = 30, 2
AS_OF = date(2017, 11, 28)  # a Tuesday: the last complete week ended on Sunday the 26th
CUTOFF = date(2017, 11, 26)


@pytest.fixture(scope="module")
def lake(tmp_path_factory, window_table):
    """Two published products that sold, with the model that forecast them, and p2, which never did."""
    path = tmp_path_factory.mktemp("lake")
    uri = str(path)
    inputs = Inputs()
    shape = forecaster.Shape(
        len(inputs.history) + 1, 6, HORIZON, {"brand": 2}, {"brand": 2}, units=4, layers=1, dense=4, dropout=0.0
    )
    network = forecaster.built(shape, seed=2)
    network.heads.kernel.assign(np.random.default_rng(2).normal(0, 0.3, network.heads.kernel.shape))
    norm = {"mean": [0.0] * len(inputs.history), "deviation": [1.0] * len(inputs.history)}
    tilted = Calibrations(Calibration(mean=(0.1, 0.02, 0.03), zero=(0.2, 0.1)))
    model = TrainedForecaster([network], {"brand": ["x"]}, norm, inputs, tilted, 0.3, CONTEXT, HORIZON)
    folder.publish(folder.model_uri(uri, "forecaster", "v1"), model.files())
    units = np.random.default_rng(1).poisson(3, (3, CONTEXT))
    units[2] = 0
    rows = window_table(units, horizon=HORIZON, length=[CONTEXT, CONTEXT, 0])
    write_deltalake(f"{uri}/gold/windows", rows, partition_by=["cutoff"])
    mean = model.forecast(rows).mean[:, 0]
    for product, ahead in np.ndindex(3, HORIZON):
        put(path, "gold/forecasts", {
            "as_of": AS_OF, "grain": "week.product", "product_id": f"p{product}", "store_id": "*",
            "target_start": CUTOFF + timedelta(days=1 + 7 * ahead), "horizon": ahead + 1, "cumulative": False,
            "q10": 0.0, "q50": 1.0, "q90": 9.0, "mean": float(mean[product, ahead]), "model_version": "v1",
            "distribution": {"family": "zinb", "zero": 0.1, "mean": 3.0, "dispersion": 0.5},
        })  # fmt: skip
    Ledger(uri).publish(AS_OF, {"gold/forecasts": HORIZON * 3 - 1}, "run")
    return uri


def test_baseline_and_contributions_add_up_to_the_published_mean(lake):
    found = explanation.explain(lake, "p1")
    assert found["as_of"] == AS_OF
    assert [one["target_start"] for one in found["horizons"]] == [date(2017, 11, 27), date(2017, 12, 4)]
    for one in found["horizons"]:
        assert list(one["contributions"]) == list(GROUPS)
        assert one["settled"] == pytest.approx(0, abs=1e-4)
        summed = one["baseline"] + sum(one["contributions"].values()) + one["settled"]
        assert summed == pytest.approx(one["forecast"], rel=1e-6)


def test_the_command_prints_one_horizon_for_people_or_machines(lake, capsys):
    assert main(["explain", "p0", "--lake", lake, "--horizon", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["horizon"] for one in document["horizons"]] == [2]
    assert main(["explain", "p0", "--lake", lake, "--horizon", "2"]) == 0
    said = capsys.readouterr().out
    assert "promotion" in said
    assert f"{document['horizons'][0]['forecast']:.2f}" in said


def test_what_cannot_be_explained_says_why(lake):
    with pytest.raises(ConfigError, match="no series of product p9"):
        explanation.explain(lake, "p9")
    with pytest.raises(ConfigError, match="from 1 to 2"):
        explanation.explain(lake, "p0", horizon=3)
    with pytest.raises(TableMissing, match="never sold"):
        explanation.explain(lake, "p2")
    with pytest.raises(TableMissing, match="nothing is published"):
        explanation.explain(lake, "p0", as_of=date(2017, 1, 1))


def test_the_table_shows_every_contribution_in_eighty_columns():
    groups = ("history", "price", "promotion", "calendar", "statics")
    horizons = [
        {
            "grain": "week.product", "horizon": h, "target_start": date(2017, 11, 20 + h), "baseline": 195.25,
            "contributions": dict.fromkeys(groups, -119.25), "settled": 0.0, "forecast": 331.5,
        }
        for h in (1, 2)
    ]  # fmt: skip
    document = {"product_id": "995242", "store_id": "*", "as_of": "2017-11-19", "horizons": horizons}
    console = Console(width=80, file=StringIO(), record=True)
    console.print(explanation.shown(document))
    said = console.export_text()
    assert "…" not in said
    assert said.count("-119.25") == 2 * len(groups)
    assert "settled" not in said
    assert "22 Nov" in said
    horizons[0]["settled"] = -331.5
    console.print(explanation.shown(document))
    assert "settled" in console.export_text()
