"""Bugs to switch on: what the simulation has to find, and within how many seeds."""

from __future__ import annotations

from tests.simulation import caller_bugs, engine_bugs, run_bugs
from tests.simulation.switching import BUGS, Bug, Patches, bug, switched_on

__all__ = ["BUGS", "Bug", "Patches", "bug", "caller_bugs", "engine_bugs", "run_bugs", "switched_on"]
