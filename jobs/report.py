"""spark-submit entry point of `shelfcast report`; takes its options."""

import sys

from shelfcast.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
