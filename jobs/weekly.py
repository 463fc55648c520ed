"""spark-submit entry point of `shelfcast weekly`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["weekly", *sys.argv[1:]]))
