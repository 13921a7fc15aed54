"""What the runs of a thread and of its goal came to, added up as it happens."""

from __future__ import annotations

from typing import Literal

import msgspec

from goalfsm.goal.model import Usage

RunOutcome = Literal["open", "finished", "failed", "aborted", "timed_out", "interrupted"]


class Ledger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All usage that was ever reported to the thread, charged or not.

    Each row of it is in the journal; these are the sums. ``uncharged`` counts by reason.
    """

    reported: Usage = Usage()
    charged_tokens: int = 0
    charged_cost: int = 0
    uncharged: dict[str, int] = {}


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run of a goal, open or over; ``turn`` is the number of the goal's turn, from 1."""

    run_id: str
    turn: int
    started_ms: int
    ended_ms: int | None = None
    outcome: RunOutcome = "open"
    wind_down: bool = False


class Tally(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the runs of a goal came to, added up since its beginning, or since ``since_ms``.

    ``refused_claims`` failed verification or were rejected by a person. ``ledger_before`` is what
    the thread's ledger held when the counting began.
    """

    runs: int = 0
    finished: int = 0
    interrupted: int = 0
    refused_claims: int = 0
    last_run: RunRecord | None = None
    ledger_before: Usage = Usage()
    since_ms: int | None = None
