"""Contracts of the records that the job keeps of itself."""

from shelfcast.lake.contract import Contract, columns

OPS: tuple[Contract, ...] = (
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
