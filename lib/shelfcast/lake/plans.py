"""What a shop plans ahead, and the columns that say so in gold/covariates and gold/windows."""

KINDS = {"display": ("display", "display_main"), "mailer": ("mailer", "mailer_main")}
"""Kind of plan → its columns."""
PLANS = tuple(column for columns in KINDS.values() for column in columns)
