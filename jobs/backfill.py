"""spark-submit entry point of `shelfcast backfill`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["backfill", *sys.argv[1:]]))
