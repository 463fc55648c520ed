"""Contracts of what comes from outside: raw records, events, sides and what was refused."""

from shelfcast.lake.contract import Contract, columns

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
    clustered=("user_id",),
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
        ("description", "string", "words about it, such as its title"),
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
        ("kids", "string", "number of kids"),
        ("opted_out", "boolean", "whether the user wants no recommendations"), personal=True,
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

SILVER: tuple[Contract, ...] = (_EVENTS, *_SIDES, _QUARANTINE)
