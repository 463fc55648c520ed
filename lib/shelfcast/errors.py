"""Everything shelfcast raises on purpose. Each message says what was wrong, where, and what to do.

The command line prints the message alone, without a traceback, and exits with ``exit_code``.
"""


class ShelfcastError(Exception):
    """Root of all errors a user can cause or mend."""

    exit_code = 1


class ConfigError(ShelfcastError):
    """A configuration file, key or value, or a command-line option, is wrong."""

    exit_code = 2


class EnvironmentProblem(ShelfcastError):
    """Something the machine must have (Java, a compiler, memory) is missing."""


class SourceError(ShelfcastError):
    """A raw log is missing, unreadable, or lacks what its source YAML names."""


class ContractError(ShelfcastError):
    """A frame does not fit the contract of the table it was to be written to."""


class TableMissing(ShelfcastError):
    """A table or slice that a step reads has not been written yet."""


class LakeBusy(ShelfcastError):
    """Another run writes what this one would."""


class GateFailed(ShelfcastError):
    """What was made lies too far from what came before, so it was not written."""


class ReconciliationError(ShelfcastError):
    """Records in and records out do not add up, so nothing was published."""


class ModelError(ShelfcastError):
    """A model folder is missing, incomplete or damaged, or training failed."""


class TrainingError(ShelfcastError):
    """A training rank failed, or there is too little data to train on."""
