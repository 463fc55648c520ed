"""Every table of the lake, declared once. Ids are strings; times are UTC; dates are store-local."""

from shelfcast.errors import ContractError
from shelfcast.lake.contract import Contract, by_name, columns

_ARRIVAL = columns(
    ("source", "string", "name of the source in the configuration", True),
    ("ingest_id", "string", "the ingest that brought the record", True),
    ("ingested_at", "timestamp", "when it arrived here", True),
)
_VALIDITY = columns(
    ("valid_from", "date", "first day the row holds; null: always"),
    ("valid_to", "date", "last day the row holds; null: until further notice"),
    ("known_from", "date", "first as_of at which the row is visible; null: always"),
)
_SERIES = columns(
    ("grain", "string", "period and entity, e.g. week.product", True),
    ("product_id", "string", "product", True),
    ("store_id", "string", "store, or * for all stores", True),
)

BRONZE = Contract(
    "bronze",
    "a raw record as read, identities transformed; raw columns follow, all kept",
    columns(
        ("_file", "string", "path of the file relative to the source", True),
        ("_position", "string", "row index (Parquet) or hash of the line and its ordinal among equal lines", True),
        ("_ingest_id", "string", "the ingest that brought the file", True),
        ("_ingested_at", "timestamp", "arrival", True),
        ("_corrupt", "string", "hash, length and position of a line that could not be parsed"),
    ),
    key=("_file", "_position"),
    slice="_ingest_id",
    personal=True,
    open=True,
)

_EVENTS = Contract(
    "silver/events",
    "one thing a user did with a product",
    columns(
        ("event_id", "string", "hash of source and identity", True),
        ("event_time", "timestamp", "UTC", True),
        ("event_date", "date", "store-local date", True),
        ("week_start", "date", "first day of the store-local week", True),
        (
            "event_type",
            "string",
            "impression, click, search, view, cart, uncart, favourite, purchase or return",
            True,
        ),
        ("user_id", "string", "user; null where the log does not say"),
        ("product_id", "string", "product", True),
        ("store_id", "string", "store; * where the log has none", True),
        ("order_id", "string", "basket or order"),
        ("session_id", "string", "session"),
        ("quantity", "double", "pieces; 1 where the log has no quantity"),
        ("unit_price", "double", "paid per piece, in currency"),
        ("discount", "double", "given per piece, in currency, not negative"),
        ("currency", "string", "ISO 4217"),
    )
    + _ARRIVAL,
    key=("event_id",),
    slice="week_start",
    personal=True,
)


def _side(name: str, row: str, key: tuple[str, ...], *rows: tuple[str, str, str], personal: bool = False) -> Contract:
    declared = columns(*rows) + _VALIDITY + _ARRIVAL
    return Contract(f"silver/{name}", row, declared, key=key, personal=personal)


_SIDES = (
    _side(
        "products", "a product", ("source", "product_id"),
        ("product_id", "string", "product"),
        ("department", "string", "top of the hierarchy"),
        ("category", "string", "middle of the hierarchy"),
        ("product_type", "string", "bottom of the hierarchy"),
        ("brand", "string", "brand, or national / private"),
        ("manufacturer", "string", "maker"),
        ("size", "string", "package size as written"),
        ("listed_until", "date", "last day the product may be sold; null: no end known"),
    ),
    _side(
        "stores", "a store", ("source", "store_id"),
        ("store_id", "string", "store"), ("time_zone", "string", "IANA name"), ("region", "string", "region"),
    ),
    _side(
        "users", "what is known of a user", ("source", "user_id"),
        ("user_id", "string", "user"), ("age", "string", "age band"), ("income", "string", "income band"),
        ("home_ownership", "string", "owner or renter"), ("marital_status", "string", "marital status"),
        ("household_size", "string", "persons"), ("household_composition", "string", "adults and kids"),
        ("kids", "string", "number of kids"), personal=True,
    ),
    _side(
        "promotions", "a product's promotion in a store over some days", (),
        ("product_id", "string", "product"), ("store_id", "string", "store, or * for all"),
        ("display", "string", "where it is displayed; null: nowhere"),
        ("display_main", "boolean", "whether the display is a prominent one"),
        ("mailer", "string", "where it stands in the mailer; null: nowhere"),
        ("mailer_main", "boolean", "whether the place in the mailer is a prominent one"),
    ),
    _side(
        "campaigns", "a campaign", ("source", "campaign_id"),
        ("campaign_id", "string", "campaign"), ("campaign_type", "string", "kind of campaign"),
    ),
    _side(
        "coupons", "a product a coupon is good for", ("source", "coupon_id", "product_id", "campaign_id"),
        ("coupon_id", "string", "coupon"), ("product_id", "string", "product"), ("campaign_id", "string", "campaign"),
    ),
    _side(
        "redemptions", "a coupon a user redeemed", (),
        ("coupon_id", "string", "coupon"), ("user_id", "string", "user"), ("campaign_id", "string", "campaign"),
        ("redeemed_on", "date", "store-local date"), personal=True,
    ),
    _side(
        "exposures", "a user who was sent a campaign", ("source", "user_id", "campaign_id"),
        ("user_id", "string", "user"), ("campaign_id", "string", "campaign"), personal=True,
    ),
    _side(
        "stock", "pieces of a product in a store on a day", ("source", "product_id", "store_id", "valid_from"),
        ("product_id", "string", "product"), ("store_id", "string", "store, or *"), ("on_hand", "double", "pieces"),
    ),
    _side(
        "reviews", "a rating", (),
        ("user_id", "string", "user"), ("product_id", "string", "product"), ("rating", "double", "stars"),
        ("text", "string", "what was written"), ("reviewed_on", "date", "date"), personal=True,
    ),
)  # fmt: skip

_QUARANTINE = Contract(
    "silver/quarantine",
    "a refused record with every rule that refused it",
    columns(
        ("source", "string", "source", True),
        ("input", "string", "input of the source", True),
        ("file", "string", "file", True),
        ("position", "string", "position in the file", True),
        ("rules", "array<string>", "names of the rules that refused it", True),
        ("record", "string", "the bronze record as JSON", True),
        ("ingest_id", "string", "ingest", True),
    ),
    key=("source", "file", "position"),
    slice="ingest_id",
    personal=True,
)

_GOLD = (
    Contract(
        "gold/demand",
        "a series' sales in one period; sparse: periods with sales only",
        _SERIES
        + columns(
            ("period_start", "date", "first day of the period", True),
            ("week_start", "date", "first day of the week the period begins in", True),
            ("units", "double", "pieces sold, returns taken off", True),
            ("orders", "double", "distinct orders (records where the log has no orders)", True),
            ("revenue", "double", "paid", True),
            ("price", "double", "paid per piece"),
            ("discount_depth", "double", "given ÷ (paid + given), 0..1"),
            ("display_share", "double", "share of stores, by their units, with a display; null without promotions"),
            ("mailer_share", "double", "share of stores, by their units, in the mailer; null without promotions"),
            ("days_in_stock", "double", "days with stock; null without a stock side"),
        ),
        key=("grain", "product_id", "store_id", "period_start"),
        slice="week_start",
    ),
    Contract(
        "gold/covariates",
        "what was planned for a series and period, as known early enough for the longest horizon; sparse",
        _SERIES
        + columns(
            ("period_start", "date", "first day of the period", True),
            ("week_start", "date", "first day of the week the period begins in", True),
            ("display", "float", "share of stores, by their earlier units, with any display", True),
            ("display_main", "float", "the same for prominent displays", True),
            ("mailer", "float", "the same for any mailer", True),
            ("mailer_main", "float", "the same for prominent places in the mailer", True),
        ),
        key=("grain", "product_id", "store_id", "period_start"),
        slice="week_start",
    ),
    Contract(
        "gold/series",
        "a series that sold up to as_of, or is about to",
        _SERIES
        + columns(
            ("as_of", "date", "slice", True),
            ("first_sale", "date", "first day with a sale; null while new"),
            ("last_sale", "date", "last day with a sale up to as_of; null while new"),
            ("sale_periods", "int", "periods with sales up to the cutoff", True),
            ("units", "double", "pieces sold up to the cutoff", True),
            (
                "status",
                "string",
                "active (sold in the last 52 weeks or listed), new (never sold, but listed or planned) or ended",
                True,
            ),
            ("life", "string", "new, running, fading (more likely dropped than not) or silent; null once ended"),
            ("alive", "double", "probability that it is still sold, by its pattern of sales; null where unknown"),
            ("any_sale", "double", "probability of a sale within the horizon, likewise"),
            ("listed_until", "date", "last day on which it may be sold; null: no end known"),
            ("department", "string", "static"),
            ("category", "string", "static"),
            ("brand", "string", "static"),
            ("manufacturer", "string", "static"),
        ),
        key=("grain", "product_id", "store_id", "as_of"),
        slice="as_of",
    ),
    Contract(
        "gold/windows",
        "a series' history up to a cutoff and what was planned beyond it; arrays end at the newest period",
        _SERIES
        + columns(
            ("cutoff", "date", "last day of the last period of the history; slice", True),
            ("bucket", "int", "hash of the series below 1024: how training ranks share the rows", True),
            ("age", "int", "periods from first sale to cutoff, both counted; 0 while new", True),
            ("length", "int", "how many of the context periods are real; earlier ones are padding (0)", True),
            ("units", "array<float>", "[context] pieces sold", True),
            ("orders", "array<float>", "[context] orders", True),
            ("price", "array<float>", "[context] paid per piece, 0 where nothing sold", True),
            ("discount", "array<float>", "[context] discount depth", True),
            ("available", "array<float>", "[context] 1 where it could be bought, 0 where it was out of stock", True),
            ("listed", "int", "periods of the horizon that begin before its listing ends", True),
            ("display", "array<float>", "[context + horizon] planned share of stores", True),
            ("display_main", "array<float>", "[context + horizon]", True),
            ("mailer", "array<float>", "[context + horizon]", True),
            ("mailer_main", "array<float>", "[context + horizon]", True),
            ("holiday", "array<float>", "[context + horizon] holidays in the period", True),
            ("month_start", "array<float>", "[context + horizon] share of days that are the 1st to 7th", True),
            ("year_phase", "array<float>", "[context + horizon] middle of the period as a share of its year", True),
            ("department", "string", "static"),
            ("category", "string", "static"),
            ("brand", "string", "static"),
            ("manufacturer", "string", "static"),
        ),
        key=("grain", "product_id", "store_id", "cutoff"),
        slice="cutoff",
    ),
    Contract(
        "gold/launches",
        "products of one kind that were about to sell for the first time, and what they then sold; earlier origins",
        columns(
            ("as_of", "date", "slice", True),
            ("grain", "string", "period and entity", True),
            ("department", "string", "empty where unknown", True),
            ("category", "string", "empty where unknown", True),
            ("plan", "string", "what was planned in the period: none, display, mailer or both", True),
            ("periods", "long", "series × periods of the horizon that were observed", True),
            ("sold_periods", "long", "of these, how many saw a sale", True),
            ("units", "double", "pieces sold in them", True),
        ),
        key=("as_of", "grain", "department", "category", "plan"),
        slice="as_of",
    ),
    Contract(
        "gold/lost_demand",
        "a period in which a series could not be bought, with what it would have sold; only with evidence",
        columns(("as_of", "date", "slice", True))
        + _SERIES
        + columns(
            ("period_start", "date", "first day of the period", True),
            ("sold", "double", "pieces sold all the same", True),
            ("expected", "double", "pieces that its level before and after says", True),
            ("lost", "double", "expected less sold, at least 0", True),
        ),
        key=("as_of", "grain", "product_id", "store_id", "period_start"),
        slice="as_of",
    ),
    Contract(
        "gold/interactions",
        "a user's items of one week in time order",
        columns(
            ("user_id", "string", "user", True),
            ("week_start", "date", "slice", True),
            ("bucket", "int", "hash of the user below 1024: how training ranks share the users", True),
            ("store_id", "string", "where the user bought most that week", True),
            ("items", "array<string>", "products in time order", True),
            ("types", "array<string>", "event types", True),
            ("times", "array<timestamp>", "UTC", True),
            ("dates", "array<date>", "store-local dates", True),
            ("quantities", "array<float>", "pieces", True),
        ),
        key=("user_id", "week_start"),
        slice="week_start",
        personal=True,
    ),
    Contract(
        "gold/forecasts",
        "a series' forecast for one horizon, or for the sum over horizons 1..h",
        columns(("as_of", "date", "slice", True))
        + _SERIES
        + columns(
            ("target_start", "date", "first day of the period; of the first one where cumulative", True),
            ("horizon", "int", "1 is the period after the cutoff", True),
            ("cumulative", "boolean", "whether the row is the sum over horizons 1..horizon", True),
            ("q10", "double", "pieces, a whole number", True),
            ("q50", "double", "pieces, a whole number", True),
            ("q90", "double", "pieces, a whole number", True),
            ("mean", "double", "pieces", True),
            (
                "distribution",
                "struct<family:string,zero:double,mean:double,dispersion:double>",
                "zinb: added P(0), mean and dispersion α of the negative binomial part, variance mean + α·mean²",
                True,
            ),
            ("model_version", "string", "model folder", True),
        ),
        key=("as_of", "grain", "product_id", "store_id", "horizon", "cumulative"),
        slice="as_of",
    ),
    Contract(
        "gold/totals",
        "units and revenue forecast for a product, category, department or the chain; each level sums the one below",
        columns(
            ("as_of", "date", "slice", True),
            ("period", "string", "week or day", True),
            ("level", "string", "chain, department, category, product or product_store", True),
            ("department", "string", "* where summed over, empty where unknown", True),
            ("category", "string", "likewise", True),
            ("product_id", "string", "* where summed over", True),
            ("store_id", "string", "* where summed over, or where a product has no stores of its own yet", True),
            ("horizon", "int", "1 is the period after the cutoff", True),
            ("cumulative", "boolean", "whether the row is the sum over horizons 1..horizon", True),
            ("target_start", "date", "first day of the period; of the first one where cumulative", True),
            ("units", "double", "mean, pieces", True),
            ("q10", "double", "pieces; null where a level's series are not forecast themselves"),
            ("q50", "double", "pieces"),
            ("q90", "double", "pieces"),
            ("revenue", "double", "mean, currency; null where the log has no prices"),
            ("revenue_q10", "double", "currency, at the expected price"),
            ("revenue_q50", "double", "currency, at the expected price"),
            ("revenue_q90", "double", "currency, at the expected price"),
        ),
        key=(
            "as_of",
            "period",
            "level",
            "department",
            "category",
            "product_id",
            "store_id",
            "horizon",
            "cumulative",
        ),
        slice="as_of",
    ),
    Contract(
        "gold/recommendations",
        "one place of a user's ranked list",
        columns(
            ("as_of", "date", "slice", True),
            ("user_id", "string", "user", True),
            ("rank", "int", "from 1", True),
            ("product_id", "string", "product", True),
            ("score", "double", "higher is better; comparable within a user", True),
            ("reason", "string", "repeat, novel or popular", True),
            ("model_version", "string", "model folder", True),
        ),
        key=("as_of", "user_id", "rank"),
        slice="as_of",
        personal=True,
    ),
)

_OPS = (
    Contract(
        "ops/runs",
        "a step's attempt at a slice",
        columns(
            ("run_id", "string", "run", True),
            ("step", "string", "step", True),
            ("slice", "string", "slice, as text", True),
            ("attempt", "long", "always rising; txnVersion of its writes", True),
            ("status", "string", "running, done or failed", True),
            ("fingerprint", "string", "hash of code, configuration and inputs", True),
            ("inputs", "string", "JSON: table → Delta version read"),
            ("outputs", "string", "JSON: table → Delta version written"),
            ("contents", "string", "JSON: table → slice → content id written"),
            ("counts", "string", "JSON: what was counted"),
            ("rows_in", "long", "rows read"),
            ("rows_out", "long", "rows written"),
            ("seconds", "double", "duration"),
            ("error", "string", "message, where it failed"),
            ("started_at", "timestamp", "UTC", True),
        ),
        key=("run_id", "step", "slice"),
    ),
    Contract(
        "ops/files",
        "a raw file that has been read; each is read once",
        columns(
            ("source", "string", "source", True),
            ("input", "string", "input of the source", True),
            ("file", "string", "path relative to the source", True),
            ("checksum", "string", "of its content", True),
            ("size", "long", "bytes", True),
            ("ingest_id", "string", "the ingest that brought it", True),
            ("ingested_at", "timestamp", "arrival", True),
        ),
        key=("source", "input", "file"),
    ),
    Contract(
        "ops/bounds",
        "a plausible range, fitted once",
        columns(
            ("source", "string", "source", True),
            ("column", "string", "canonical column", True),
            ("category", "string", "what it was fitted per; * for all records", True),
            ("lower", "double", "smallest plausible value", True),
            ("upper", "double", "largest plausible value", True),
            ("records", "long", "records it was fitted on", True),
            ("fitted_at", "timestamp", "when", True),
        ),
        key=("source", "column", "category"),
    ),
    Contract(
        "ops/published",
        "the version of a table that readers see for an as_of",
        columns(
            ("as_of", "date", "as_of", True),
            ("table", "string", "table", True),
            ("version", "long", "Delta version", True),
            ("run_id", "string", "run", True),
        ),
        key=("as_of", "table"),
    ),
    Contract(
        "ops/metrics",
        "one measured figure",
        columns(
            ("as_of", "date", "as_of of what was measured", True),
            ("model", "string", "forecaster, recommender or a baseline's name", True),
            ("model_version", "string", "model folder; - for baselines", True),
            ("metric", "string", "metric", True),
            ("segment", "string", "all, or what the rows have in common", True),
            ("value", "double", "value"),
            ("baseline", "string", "the best baseline by this metric"),
            ("run_id", "string", "run", True),
        ),
        key=("as_of", "model", "model_version", "metric", "segment"),
    ),
)

CONTRACTS: dict[str, Contract] = by_name((_EVENTS, *_SIDES, _QUARANTINE, *_GOLD, *_OPS))


def contract(name: str) -> Contract:
    """The contract of a table; ``bronze/...`` tables share one.

    Raises:
        ContractError: if there is no such table.
    """
    if name.startswith("bronze/"):
        return BRONZE
    if name not in CONTRACTS:
        raise ContractError(f"there is no table {name}; tables are bronze/<source>/<input>, {', '.join(CONTRACTS)}")
    return CONTRACTS[name]
