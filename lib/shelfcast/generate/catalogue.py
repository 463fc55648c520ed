"""Products, and what was planned, missing and to be expected of each in each week."""

import math
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from shelfcast.generate.draws import named, normal, uniform, whole
from shelfcast.generate.world import CATEGORIES, DEPARTMENTS, World

_POPULARITY, _SHIFT = 0.9, 10.0  # Zipf–Mandelbrot: (rank + shift) to the power of -popularity
_LONGEST_CYCLE = 8  # weeks from one purchase of a loyal user to the next
_LONGEST_GAP = 3  # weeks without stock
_UNIT = 1e9  # expected events are added up as whole numbers, so that their order does not matter
_PHI_SHARES = (0.25, 0.5, 1.0)  # shares of stores that a display stands in
_DEPTHS = (0.1, 0.2, 0.3)


def products(spark: SparkSession, world: World) -> DataFrame:
    """A row a product: number (also its rank), item, category, department, base price, cycle and launch week."""
    seed, number = world.seed, F.col("number")
    category = whole(uniform(seed, "category", number), CATEGORIES)
    launched = uniform(seed, "launched", number) < world.shares.launched
    launch = F.when(launched & (number > 0), whole(uniform(seed, "launch", number), world.weeks)).otherwise(0)
    return (
        spark.range(world.products)
        .withColumnRenamed("id", "number")
        .select(
            "number",
            named("P", number).alias("item"),
            category.alias("category"),
            (category % DEPARTMENTS).alias("department"),
            whole(uniform(seed, "brand", number), 200).alias("brand"),
            F.round(F.exp(F.log(F.lit(6.0)) + 0.7 * normal(seed, "price", number)), 2).alias("base_price"),
            (whole(uniform(seed, "cycle", number), _LONGEST_CYCLE) + 1).alias("cycle"),
            launch.alias("launch"),
        )
    )


def product_weeks(spark: SparkSession, world: World) -> DataFrame:
    """A row a product and week with everything that drives its demand, and ``events``: how many it gets, exactly.

    The weeks share out ``world.events`` by what is expected of them, and the products of a week its share; fractions
    are carried on from product to product, so that the sum is exact.
    """
    planned = _planned(spark, world)
    expected = F.floor(_expected(world) * _UNIT).cast("long")
    weighed = planned.withColumn("weight", expected)
    totals = _week_totals(weighed, world)
    alone = F.lit(world.hot_product / (1.0 - world.hot_product)) * F.col("total")
    hot = (F.col("number") == 0) if world.hot_product else F.lit(False)
    joined = weighed.join(F.broadcast(totals), "week").withColumn(
        "weight", F.when(hot, F.floor(alone).cast("long")).otherwise(F.col("weight"))
    )
    week = Window.partitionBy("week")
    reached = F.sum("weight").over(week.orderBy("number"))
    scale = F.col("wanted") / F.sum("weight").over(week)
    upto = F.floor(reached * F.col("scale") + 0.5)
    before = F.floor((reached - F.col("weight")) * F.col("scale") + 0.5)
    return (
        joined.withColumn("scale", scale)
        .withColumns({"_upto": upto, "_before": before})
        .withColumn("events", F.col("_upto") - F.col("_before"))
        .drop("_upto", "_before", "scale", "total", "wanted", "weight")
    )


def _planned(spark: SparkSession, world: World) -> DataFrame:
    seed, shares = world.seed, world.shares
    key = (F.col("number"), F.col("week"))
    every_week = F.explode(F.sequence(F.lit(0), F.lit(world.weeks - 1)))
    phi = F.element_at(
        F.array(*(F.lit(share) for share in _PHI_SHARES)), whole(uniform(seed, "phi", *key), len(_PHI_SHARES)) + 1
    )
    depth = F.element_at(
        F.array(*(F.lit(depth) for depth in _DEPTHS)), whole(uniform(seed, "depth", *key), len(_DEPTHS)) + 1
    )
    display, mailer = F.col("display") > 0, F.col("mailer")
    promoted_cut = (display | mailer) & (uniform(seed, "promoted cut", *key) < 0.5)
    cut = promoted_cut | (uniform(seed, "cut", *key) < shares.price_cut)
    return (
        products(spark, world)
        .withColumn("week", every_week)
        .withColumn("display", F.when(uniform(seed, "display", *key) < shares.display, phi).otherwise(0.0))
        .withColumn("mailer", uniform(seed, "mailer", *key) < shares.mailer)
        .withColumn("depth", F.when(cut, depth).otherwise(0.0))
        .withColumn("out", _out_of_stock(world))
    )


def _out_of_stock(world: World) -> Column:
    """Whether a gap that began up to two weeks ago still lasts."""
    number, week = F.col("number"), F.col("week")

    def lasts(ago: int) -> Column:
        begun = uniform(world.seed, "gap", number, week - ago) < world.shares.stock_out
        length = whole(uniform(world.seed, "gap length", number, week - ago), _LONGEST_GAP) + 1
        return begun & (length > ago) & (week >= ago)

    return reduce(Column.__or__, [lasts(ago) for ago in range(_LONGEST_GAP)])


def _expected(world: World) -> Column:
    """Events to be expected, up to a factor that all product-weeks have in common."""
    effects, number, week = world.effects, F.col("number"), F.col("week")
    phase = uniform(world.seed, "phase", F.col("category"))
    season = F.exp(effects.season * F.sin(2.0 * math.pi * (week / 52.0 + phase)))
    popularity = F.pow(number + _SHIFT, F.lit(-_POPULARITY))
    plans = (1.0 + F.col("display") * (effects.display - 1.0)) * F.when(F.col("mailer"), effects.mailer).otherwise(1.0)
    price = F.pow(1.0 - F.col("depth"), F.lit(-effects.elasticity))
    noise = F.exp(effects.noise * normal(world.seed, "noise", number, week))
    sold = (week >= F.col("launch")) & ~F.col("out")
    return F.when(sold, popularity * season * plans * price * noise).otherwise(0.0)


def _week_totals(weighed: DataFrame, world: World) -> DataFrame:
    """Week → ``total`` weight, without the hot product's own, and ``wanted`` events; one row a week."""
    counted = weighed.where(F.col("number") > 0) if world.hot_product else weighed
    rows = counted.groupBy("week").agg(F.sum("weight").alias("total")).orderBy("week").collect()
    whole_sum, reached, given, totals = sum(row["total"] for row in rows), 0, 0, []
    for row in rows:
        reached += row["total"]
        upto = world.events * reached // whole_sum
        totals.append((row["week"], row["total"], upto - given))
        given = upto
    return weighed.sparkSession.createDataFrame(totals, "week int, total long, wanted long")


def catalogue(spark: SparkSession, world: World) -> DataFrame:
    """The product side as a log brings it."""
    return products(spark, world).select(
        "item",
        named("D", F.col("department")).alias("department"),
        named("C", F.col("category")).alias("category"),
        named("B", F.col("brand")).alias("brand"),
        F.col("base_price").alias("list_price"),
    )


def promotions(weeks: DataFrame, world: World) -> DataFrame:
    """A row for each place of a mailer (all stores) and each store with a display; both known four weeks ahead."""
    since = _monday(world)
    dates = [since.alias("first_day"), F.date_add(since, 6).alias("last_day"), F.date_sub(since, 28).alias("announced")]
    stores = F.explode(F.sequence(F.lit(0), F.lit(world.stores - 1)))
    none = F.lit(None).cast("string")
    displayed = (
        weeks.where("display > 0")
        .withColumn("store", stores)
        .where(uniform(world.seed, "displaying", F.col("number"), F.col("week"), F.col("store")) < F.col("display"))
        .select(
            "item",
            named("S", F.col("store")).alias("store"),
            F.lit("endcap").alias("display"),
            none.alias("mailer"),
            *dates,
        )
    )
    mailed = weeks.where("mailer").select(
        "item", F.lit("*").alias("store"), none.alias("display"), F.lit("front").alias("mailer"), *dates
    )
    return displayed.unionByName(mailed)


def stock(weeks: DataFrame, world: World) -> DataFrame:
    """Weeks in which nothing of a product was on hand in any store."""
    since = _monday(world)
    gone = weeks.where(F.col("out") & (F.col("week") >= F.col("launch")))
    return gone.select(
        "item", F.lit("*").alias("store"), since.alias("first_day"), F.date_add(since, 6).alias("last_day"),
        F.lit(0).alias("on_hand"),
    )  # fmt: skip


def _monday(world: World) -> Column:
    return F.date_add(F.lit(world.start), F.col("week") * 7)


def last_day(world: World) -> str:
    """The last day of the log."""
    return (world.start + timedelta(weeks=world.weeks) - timedelta(days=1)).isoformat()
