"""What the runs of a goal came to, added up as it happens: nobody has to read a long journal."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.session import events as e
from goalfsm.session.state import Run, RunRecord, Session, Tally


def tallied(before: Session, after: Session, event: e.Event, at_ms: int) -> Session:
    """Return ``after`` with what ``event`` adds; a new goal begins at nothing."""
    if after.goal is not before.goal and _goal_id(after) != _goal_id(before):
        begun = None if after.goal is None else Tally(ledger_before=after.ledger.reported)
        return replace(after, tally=begun)
    if after.run is not before.run and _run_id(after) != _run_id(before):
        if after.run is None:
            return _ended(before, after, event, at_ms)
        return _dispatched(after, after.run, at_ms)
    refuses = isinstance(event, e.VerificationFinished | e.ClaimRejected)
    if refuses and before.claim is not None and after.claim is None and after.completion is None:
        tally = _so_far(after, at_ms)
        return replace(after, tally=replace(tally, refused_claims=tally.refused_claims + 1))
    return after


def _goal_id(session: Session) -> str | None:
    return None if session.goal is None else session.goal.goal_id


def _run_id(session: Session) -> str | None:
    return None if session.run is None else session.run.run_id


def _dispatched(session: Session, run: Run, at_ms: int) -> Session:
    tally = _so_far(session, at_ms)
    record = RunRecord(run_id=run.run_id, turn=run.turn, started_ms=at_ms, wind_down=run.wind_down)
    return replace(session, tally=replace(tally, runs=tally.runs + 1, last_run=record))


def _ended(before: Session, after: Session, event: e.Event, at_ms: int) -> Session:
    tally = after.tally
    last = None if tally is None else tally.last_run
    if tally is None or last is None or last.run_id != _run_id(before):
        return after
    if isinstance(event, e.RunFinished):
        last = replace(last, ended_ms=at_ms, outcome=event.outcome)
        finished = tally.finished + (event.outcome == "finished")
        return replace(after, tally=replace(tally, finished=finished, last_run=last))
    known_ms = event.ended_ms if isinstance(event, e.RunInterrupted) else None
    last = replace(last, ended_ms=at_ms if known_ms is None else known_ms, outcome="interrupted")
    tally = replace(tally, interrupted=tally.interrupted + 1, last_run=last)
    return replace(after, tally=tally)


def _so_far(session: Session, at_ms: int) -> Tally:
    """Return the tally; that of a goal of an earlier version begins here."""
    return session.tally or Tally(since_ms=at_ms, ledger_before=session.ledger.reported)
