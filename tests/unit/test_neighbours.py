"""``shelfcast show neighbours``: the nearest products in the published recommender's vectors."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from report_lake import product, put

from shelfcast.cli import main
from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake.ledger import Ledger
from shelfcast.models import folder
from shelfcast.models.recommending import Recommender
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.neighbours import neighbours

AS_OF = date(2024, 3, 31)
CONFIG = {
    "encoder": "lstm", "members": 1, "dim": 2, "units": 2, "max_length": 4, "dropout": 0.0, "temperature": 0.1,
    "item_bias": True, "event_types": ["purchase"], "half_lives": [4.0], "traits": [], "groups": [],
    "item_features": ["category", "price"], "words": 2,
}  # fmt: skip
NEW = {"bolts": "hardware", "butter": "food"}


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A published recommender that knows five products: milk and cheese point one way, nails and screws another."""
    uri = str(tmp_path)
    sequence = SequenceEnsemble.build(CONFIG, 5, np.zeros((5, 1), np.int32))
    member = sequence.members[0]
    member.words.embeddings.assign(np.array([(0.0, 0.0), (1.0, 0.5), (0.0, 1.0)], np.float32))
    directions = {"cheese": (3.0, 1.0), "glue": (1.0, 1.0), "milk": (1.0, 0.2), "nails": (0.0, 2.0), "screws": (0.1, 1)}
    member.embedding.embeddings.assign(np.array([(0.0, 0.0), *directions.values()], np.float32))
    member.start_from_popularity(np.array([1.0, 1.0, 1.0, 1000.0, 1.0]))  # biases must not count
    said = pa.array(["category=food", "category=hardware"])
    model = Recommender(CONFIG, pa.array(list(directions)), sequence, None, said=said)
    folder.publish(folder.model_uri(uri, "recommender", "v1"), model.files())
    row = {"as_of": AS_OF, "user_id": "ann", "rank": 1, "product_id": "milk", "score": 1.0, "reason": "repeat"}
    put(tmp_path, "gold/recommendations", {**row, "model_version": "v1"})
    Ledger(uri).publish(AS_OF, {"gold/recommendations": 0}, "run")
    return uri


def test_the_nearest_products_come_first_by_cosine(lake: str) -> None:
    found = neighbours(lake, "milk", 3)
    assert [one["product_id"] for one in found["neighbours"]] == ["cheese", "glue", "screws"]
    assert found["neighbours"][0]["similarity"] == pytest.approx(3.2 / np.sqrt(10 * 1.04))
    assert (found["as_of"], found["model_version"]) == (AS_OF, "v1")


def test_no_more_neighbours_than_there_are_products(lake: str) -> None:
    assert len(neighbours(lake, "milk", 99)["neighbours"]) == 4


def test_a_product_without_a_history_lies_where_its_like_is(lake: str) -> None:
    sides = [product(name, category=kind) for name, kind in NEW.items()]
    put(Path(lake), "silver/products", *sides, product("tofu", size="200 g"))
    found = neighbours(lake, "bolts", 2)
    assert [one["product_id"] for one in found["neighbours"]] == ["nails", "screws"]
    assert (found["product_id"], found["category"]) == ("bolts", "hardware")
    assert [one["product_id"] for one in neighbours(lake, "butter", 9)["neighbours"]][:2] == ["cheese", "milk"]
    with pytest.raises(ConfigError, match="no vector for product tofu"):
        neighbours(lake, "tofu", 3)


def test_a_product_without_a_vector_is_told_why(lake: str) -> None:
    with pytest.raises(ConfigError, match=r"no vector for product tofu.*min_item_events"):
        neighbours(lake, "tofu", 3)


def test_a_lake_without_recommendations_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableMissing, match="gold/recommendations is not in the lake"):
        neighbours(str(tmp_path), "milk", 3)


def test_the_command_shows_them(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "neighbours", "nails", "--lake", lake, "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["neighbours"][0]["product_id"] == "screws"
    assert main(["show", "neighbours", "nails", "--lake", lake, "--limit", "1"]) == 0
    assert "Neighbours of nails" in capsys.readouterr().out
    assert main(["show", "neighbours", "--lake", lake]) == 2
    assert main(["show", "forecasts", "nails", "--lake", lake]) == 2
