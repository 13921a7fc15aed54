"""``python -m tests.simulation``: many worlds, or one of them in detail."""

from tests.simulation.command import main

raise SystemExit(main())
