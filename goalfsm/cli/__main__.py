"""Run the command line as ``python -m goalfsm.cli``."""

import sys

from goalfsm.cli import main

if __name__ == "__main__":
    sys.exit(main())
