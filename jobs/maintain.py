"""spark-submit entry point of `shelfcast maintain`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["maintain", *sys.argv[1:]]))
