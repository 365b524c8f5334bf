"""`python -m flopwise` is the command `flopwise`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
