"""spark-submit entry point of `shelfcast train recommender`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "recommender", *sys.argv[1:]]))
