"""spark-submit entry point of `shelfcast score`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
