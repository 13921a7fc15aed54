"""What happened in worlds, counted."""

from __future__ import annotations

import msgspec


class Stats(msgspec.Struct, kw_only=True):
    """What happened in a world."""

    steps: int = 0
    commits: int = 0
    events: int = 0
    crashes: int = 0
    stalls: int = 0
    takeovers: int = 0
    faults: int = 0
    poisoned: int = 0
    runs: int = 0
    runs_interrupted: int = 0
    commands: int = 0
    replays: int = 0
    partitions: int = 0
    wipes: int = 0
    virtual_s: float = 0.0

    def add(self, other: Stats) -> None:
        """Add another world's."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
