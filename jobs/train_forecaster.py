"""spark-submit entry point of `shelfcast train forecaster`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "forecaster", *sys.argv[1:]]))
