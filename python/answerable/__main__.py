"""`python -m answerable` is the command line."""

import sys

from answerable.cli import main

if __name__ == "__main__":
    sys.exit(main())
