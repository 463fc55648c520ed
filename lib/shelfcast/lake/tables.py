"""Every table of the lake by name. Ids are strings; times are UTC; dates are store-local."""

from shelfcast.errors import ContractError
from shelfcast.lake.contract import Contract, by_name
from shelfcast.lake.gold_tables import GOLD
from shelfcast.lake.ops_tables import OPS
from shelfcast.lake.silver_tables import BRONZE, SILVER

CONTRACTS: dict[str, Contract] = by_name((*SILVER, *GOLD, *OPS))


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
