"""Rows of the goal machine that fire, and what was counted of them."""

from __future__ import annotations

from typing import Any

import msgspec

from goalfsm import Goal
from goalfsm.testing import MachineCoverage

NOW = 1_000_000


def goal(status: str = "active", **fields: Any) -> Goal:
    made = Goal(goal_id="g", objective="o", created_at=NOW, updated_at=NOW, **fields)
    return msgspec.structs.replace(made, status=status)


def fired(coverage: MachineCoverage, name: str = "goal") -> list[str]:
    return [str(row) for row in coverage[name].fired]
