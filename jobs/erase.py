"""spark-submit entry point of `shelfcast erase`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["erase", *sys.argv[1:]]))
