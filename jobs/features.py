"""spark-submit entry point of `shelfcast features`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["features", *sys.argv[1:]]))
