"""What holds of a thread over all that happens to it, which no single step can tell."""

from __future__ import annotations

from goalfsm.goal.accounting import counted, tokens_of
from goalfsm.goal.model import Usage
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.testing.invariants.invariant import hold


class Course:
    """Follows one thread: what is reported is booked once, and a run is dispatched once."""

    def __init__(self, session: Session) -> None:
        """Begin where ``session`` stands."""
        self.usage: dict[str, Usage] = {}
        """What has been reported since, by key."""
        self._reported = session.ledger.reported
        self._tokens = _booked(session)
        self._runs: set[str] = set()

    def follow(self, before: Session, event: e.Event, after: Session) -> None:
        """Raise AssertionError, saying what is wrong, when a step breaks what holds."""
        match event:
            case e.UsageReported(key=key, usage=usage) if key not in self.usage:
                self.usage[key] = usage = counted(usage)
                self._reported += usage
                self._tokens += tokens_of(usage, before.policy.cached_weight)
            case e.RunDispatched(run_id=run_id) if after.run and after.run.run_id == run_id:
                hold(run_id not in self._runs, f"{run_id} is dispatched twice")
                self._runs.add(run_id)
            case _:
                pass
        reported, tokens = after.ledger.reported, _booked(after)
        hold(reported == self._reported, f"{reported} is booked, {self._reported} was reported")
        hold(tokens == self._tokens, f"{tokens} tokens are booked, {self._tokens} were reported")


def _booked(session: Session) -> int:
    return session.ledger.charged_tokens + sum(session.ledger.uncharged.values())
