"""The lake: table contracts, the only reads and writes of Delta, and the ledger of runs."""
