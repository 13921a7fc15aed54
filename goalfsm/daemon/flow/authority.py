"""Who may say what: a receiver finds out who asks, and takes no more than that allows.

A sender may lower its own authority, never raise it. From outside come commands, tool calls and
declared waits, and nothing that only an engine can know.
"""

from __future__ import annotations

import os
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.session.codec import token_digest
from goalfsm.session.tools import CREATE_GOAL, canonical
from goalfsm.workers.supervisor.process_tree import mark_of, run_part, same_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from goalfsm.session.state import Run
    from goalfsm.workers.supervisor.peers import Peer

CODE: Final = "origin_not_allowed"
"""The code of a refusal of what somebody else would have to say."""
_OF_A_RUN: Final = frozenset({"update_goal", "wait"})
_STOPS_AND_WORDS: Final = (
    e.PauseRequested,
    e.SteeringReceived,
    e.SteeringDropped,
    e.WakeRequested,
    e.BlockRequested,
    e.ClaimRejected,
)


def admitted(event: e.Event, peer: Peer) -> e.Event:
    """Return ``event`` as ``peer`` may say it, with who said it.

    Raises GoalError: ``origin_not_allowed`` for a person's word that comes from a run and for what
    only an engine can know, ``not_in_a_run`` for what only a run can say.
    """
    if isinstance(event, e.ToolCalled | e.WaitDeclared):
        return _authorised(event, of_a_run=peer.of_a_run)
    if not isinstance(event, e.Expecting):
        raise _only_the_engine(event)
    if peer.of_a_run:
        raise GoalError(
            f"{type(event).__name__} is a person's to ask for, and this is no person: {peer.why}",
            code=CODE,
            hint="a person asks for it in a terminal of their own; a run claims by its goal tools",
        )
    by = e.By(
        uid=peer.uid if peer.uid >= 0 else None,
        pid=peer.pid or None,
        program=peer.program,
        terminal=peer.terminal,
        run_id=peer.run_id or None,
    )
    return replace(event, by=by, origin="model" if event.origin == "model" else "person")


def require_own_run(event: e.Event, peer: Peer, db: str, run: Run | None, inside: str) -> None:
    """Raise GoalError where ``event`` shows the token of another run than that of ``peer``.

    ``run`` is the open run of the thread of ``db`` it speaks for, ``inside`` the live one whose
    first process is above the peer, "" where none is. What left that one behind is known by its
    mark, and only where it has none by what its environment says.
    """
    if not isinstance(event, e.ToolCalled | e.WaitDeclared) or not event.run_token or run is None:
        return
    if not compare_digest(run.token, token_digest(event.run_token)):
        return  # the run that it authorised is over, which the thread says itself
    if inside:
        own = inside == run.run_id
    elif peer.mark:
        own = run_part(peer.mark) == mark_of(same_database(db), run.run_id)
    else:
        own = peer.run_id in {"", run.run_id}
    if not own:
        raise GoalError(
            "this token is another run's than the one that asks",
            code=CODE,
            hint="a run speaks for itself: GOALFSM_RUN_TOKEN holds its own",
        )


def admitted_here(event: e.Event, db: str | PathLike[str]) -> e.Event:
    """Return ``event`` as this process may say it; see `admitted`."""
    return admitted(event, _this_process(db))


def require_own_run_here(
    event: e.Event, db: str | PathLike[str], run: Callable[[], Run | None]
) -> None:
    """Do as `require_own_run` for this process; ``run`` is called where a token is shown."""
    if isinstance(event, e.ToolCalled | e.WaitDeclared) and event.run_token:
        require_own_run(event, _this_process(db), os.fspath(db), run(), "")


def require_person(db: str | PathLike[str], what: str) -> None:
    """Raise GoalError where this process is a run's: ``what`` it asks for is a person's to do."""
    peer = _this_process(db)
    if peer.of_a_run:
        raise GoalError(
            f"{what} is a person's to do, and this is no person: {peer.why}",
            code=CODE,
            hint="a person does it in a terminal of their own",
        )


def _this_process(db: str | PathLike[str]) -> Peer:
    # A command that an engine answers leaves this to the engine, and does not load it.
    from goalfsm.workers.supervisor.peers import look_up  # noqa: PLC0415

    return look_up(os.getpid(), db=os.fspath(db))


def is_recordable(event: e.Event) -> bool:
    """Tell whether a row of the inbox, which anybody could have written, is enough for ``event``.

    Messages and stops are; whatever gives somebody more than they had needs an engine that can
    look at who asks. What a run says with its token is not: the token would lie there to be read.
    """
    if isinstance(event, e.ToolCalled | e.WaitDeclared) and event.run_token:
        return False
    if isinstance(event, e.ObjectiveGiven):
        return not event.replace
    return isinstance(event, (*_STOPS_AND_WORDS, e.ToolCalled, e.WaitDeclared))


def may_be_kept(event: e.Event) -> bool:
    """Tell whether ``event`` is a person's word or stop, which is kept where nothing is written.

    What it is worth is found out when it is decided: it changes nothing that was promised.
    """
    return isinstance(event, (*_STOPS_AND_WORDS, e.ClearRequested))


def of_a_row(event: e.Event) -> e.Event:
    """Return what a row of the inbox may say, whoever wrote it; see `is_recordable`.

    Anything else of a person's counts as the model's, which is refused it. Raises GoalError for
    what only an engine can know.
    """
    if isinstance(event, e.ToolCalled | e.WaitDeclared):
        return _authorised(event, of_a_run=False)
    if not isinstance(event, e.Expecting):
        raise _only_the_engine(event)
    allowed = isinstance(event, _STOPS_AND_WORDS) and event.origin != "model"
    return replace(event, by=None, origin="person" if allowed else "model")


def _authorised(
    event: e.ToolCalled | e.WaitDeclared, *, of_a_run: bool
) -> e.ToolCalled | e.WaitDeclared:
    """Return what a run says with its token; nobody else may say it."""
    if event.run_token:
        return event
    name = canonical(event.name) if isinstance(event, e.ToolCalled) else "wait"
    if name in _OF_A_RUN:
        raise GoalError(
            "only a run can claim something about its goal or wait, and this is not one",
            code="not_in_a_run",
            hint="goalfsm complete, goalfsm block and goalfsm pause are for people",
        )
    if of_a_run and name == CREATE_GOAL.name:
        raise GoalError(
            "a run gives goals to its own thread, and shows its token for that",
            code=CODE,
            hint="GOALFSM_RUN_TOKEN holds it",
        )
    return event


def _only_the_engine(event: e.Event) -> GoalError:
    return GoalError(
        f"{type(event).__name__} is for the engine alone to say",
        code=CODE,
        hint="from outside come commands, goal tools and declared waits",
    )
