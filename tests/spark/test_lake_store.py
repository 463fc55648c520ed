"""Tables are written by whole slices, fit their contract, and are read at a pinned version."""

from datetime import date

import pytest
from pyspark.sql import functions as F

from shelfcast.errors import ContractError, TableMissing
from shelfcast.lake.tables import CONTRACTS
from shelfcast.lake.visible import visible

TABLE = "gold/covariates"
FIRST, SECOND = date(2017, 1, 2), date(2017, 1, 9)


@pytest.fixture
def frame(spark):
    def make(*rows: tuple[date, str, float]):
        listed = [("week.product", product, "*", day, day, share, 0.0, 0.0, 0.0) for day, product, share in rows]
        return spark.createDataFrame(listed, CONTRACTS[TABLE].schema())

    return make


def stored(step):
    return sorted((r.week_start, r.product_id, r.display) for r in step.read(TABLE).collect())


def test_replacing_a_slice_leaves_the_others(step, frame):
    step().replace(TABLE, frame((FIRST, "a", 0.5), (SECOND, "a", 0.5)), [FIRST, SECOND])
    step().replace(TABLE, frame((SECOND, "b", 0.25)), [SECOND])
    assert stored(step()) == [(FIRST, "a", 0.5), (SECOND, "b", 0.25)]


def test_replacing_a_slice_by_nothing_empties_it(step, frame):
    step().replace(TABLE, frame((FIRST, "a", 0.5), (SECOND, "a", 0.5)), [FIRST, SECOND])
    step().replace(TABLE, frame(), [SECOND])
    assert stored(step()) == [(FIRST, "a", 0.5)]


def test_the_same_attempt_writes_once(step, frame):
    first = step(attempt=7)
    first.replace(TABLE, frame((FIRST, "a", 0.5)), [FIRST])
    first.replace(TABLE, frame((FIRST, "again", 0.5)), [FIRST])
    assert stored(step()) == [(FIRST, "a", 0.5)]


def test_a_row_outside_the_named_slices_is_refused_and_nothing_is_written(step, frame):
    step().replace(TABLE, frame((FIRST, "a", 0.5)), [FIRST])
    with pytest.raises(ContractError, match=TABLE):
        step().replace(TABLE, frame((FIRST, "b", 0.5), (SECOND, "b", 0.5)), [FIRST])
    assert stored(step()) == [(FIRST, "a", 0.5)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: f.withColumn("display", F.col("display").cast("string")),
            "display is string, the contract says float",
        ),
        (lambda f: f.drop("mailer"), r"lacks column mailer \(float\)"),
        (lambda f: f.withColumn("colour", F.lit("red")), "colour"),
        (lambda f: f.withColumn("product_id", F.lit(None).cast("string")), "product_id is null"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_with_its_column(step, frame, change, said):
    with pytest.raises(ContractError, match=said):
        step().replace(TABLE, change(frame((FIRST, "a", 0.5))), [FIRST])
    assert not step().has(TABLE)


def test_an_open_table_keeps_new_columns_and_refuses_a_changed_type(step, spark):
    def raw(column: str):
        return spark.sql(f"SELECT 'f' _file, '0' _position, 'i' _ingest_id, now() _ingested_at, '' _corrupt, {column}")

    step().replace("bronze/shop/lines", raw("1 AS amount"), ["i"])
    step().replace("bronze/shop/lines", raw("1 AS amount, 'red' AS colour").withColumn("_ingest_id", F.lit("j")), ["j"])
    assert [(r.amount, r.colour) for r in step().read("bronze/shop/lines").orderBy("_ingest_id").collect()] == [
        (1, None),
        (1, "red"),
    ]
    with pytest.raises(ContractError, match="amount is stored as int"):
        step().replace("bronze/shop/lines", raw("'one' AS amount"), ["i"])


def test_a_step_reads_the_version_it_first_saw(step, frame):
    step().replace(TABLE, frame((FIRST, "a", 0.5)), [FIRST])
    reader = step()
    assert stored(reader) == [(FIRST, "a", 0.5)]
    step().replace(TABLE, frame((FIRST, "b", 0.5)), [FIRST])
    assert stored(reader) == [(FIRST, "a", 0.5)]
    assert reader.inputs == {TABLE: 0}
    assert stored(step()) == [(FIRST, "b", 0.5)]


def test_a_missing_table_is_named(step):
    with pytest.raises(TableMissing, match=TABLE):
        step().read(TABLE)


def test_nothing_is_visible_before_it_is_known(spark):
    rows = [("event", date(2017, 1, 8), None), ("late", date(2017, 1, 9), None), ("plan", None, date(2017, 1, 8)),
            ("secret", None, date(2017, 1, 9))]  # fmt: skip
    frame = spark.createDataFrame(rows, "name string, event_date date, known_from date")
    events = visible(frame.where("event_date IS NOT NULL").drop("known_from"), date(2017, 1, 8))
    plans = visible(frame.where("event_date IS NULL").drop("event_date"), date(2017, 1, 8))
    assert [r.name for r in events.collect()] == ["event"]
    assert [r.name for r in plans.collect()] == ["plan"]
