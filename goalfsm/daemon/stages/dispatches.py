"""Turns that are dispatched here and whose workers have not been started yet: who runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.daemon.flow.authority import token_digest
from goalfsm.daemon.flow.turn import dispatched
from goalfsm.session.work import route

if TYPE_CHECKING:
    from goalfsm.daemon.config import Assignment
    from goalfsm.daemon.host.clock import IdSource
    from goalfsm.session.events import RunDispatched
    from goalfsm.session.state import Session
    from goalfsm.session.work import Queued


class Dispatches:
    """Gives each dispatch its run id and token, and keeps the token for whoever starts the run."""

    def __init__(self, ids: IdSource) -> None:
        """Draw from ``ids``."""
        self._ids = ids
        self._assigned: dict[str, tuple[str, Assignment]] = {}

    def intend(
        self, thread_id: str, assignment: Assignment, work: Queued, session: Session
    ) -> RunDispatched:
        """Return the event that opens a run of ``session`` by the worker of ``assignment``.

        ``work`` is what waits in ``session``. It says why the worker is on a route, if it is.
        """
        run_id, token = self._ids.new_id(), self._ids.token()
        self._assigned[thread_id] = (run_id, assignment._replace(token=token))
        digest = token_digest(token)
        return dispatched(
            assignment.worker,
            work,
            run_id=run_id,
            token=digest,
            turn=session.next_turn,
            route=route(session) if assignment.argv else None,
        )

    def take(self, thread_id: str, run_id: str) -> Assignment | None:
        """Return who runs a run that was dispatched here and has not been started, once."""
        intended, assignment = self._assigned.get(thread_id, ("", None))
        if intended != run_id:
            return None
        del self._assigned[thread_id]
        return assignment
