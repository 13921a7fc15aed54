"""What one ``run`` is about: what it asks for, once, and when the goal that it is for has ended."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from goalfsm.cli import asking, exits, places
from goalfsm.cli.places import speak
from goalfsm.daemon.flow.notices import Happened, Settled, StatusChanged
from goalfsm.daemon.host.records import written
from goalfsm.daemon.remote.narrating import event_of
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, PAUSED
from goalfsm.session.events import (
    NextGoalRequested,
    ResumeRequested,
    ToolCalled,
    WakeRequested,
)
from goalfsm.session.tools import CREATE_GOAL
from goalfsm.session.work import asks_to_go_on
from goalfsm.store.address import Server
from goalfsm.text import line, short, visible

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.cli.places import Place
    from goalfsm.cli.watching import View
    from goalfsm.daemon.config import WorkerConfig
    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.daemon.remote.face import Remote
    from goalfsm.session.events import Event, ObjectiveGiven
    from goalfsm.session.state import Reply, Session
    from goalfsm.views.status import Status


class Over(NamedTuple):
    """The end of an errand: what ``run`` exits with, and how the goal stood, where it is known.

    ``next_goal`` is the id of the goal that came after the one that the errand was for.
    """

    exit_status: int
    status: Status | None = None
    said: str = ""
    next_goal: str | None = None


class Errand:
    """One ``run``: it outlives the engines that do its work, one after the other."""

    def __init__(
        self,
        place: Place,
        view: View,
        objective: ObjectiveGiven | None,
        worker: WorkerConfig | None,
        *,
        advance: bool = False,
    ) -> None:
        """Give the thread ``objective``, or take its goal up where there is none.

        With ``advance`` it is about the goals of the thread's queue too, one after the other.
        """
        self.place = place
        self.view = view
        self.event_id = uuid.uuid4().hex
        self.begun = False
        self._objective = objective
        self._worker = worker
        self._advance = advance
        self._is_given = False
        self._asked = ""
        self._goal_id = ""
        self._last: Status | None = None
        self._followed_up = False
        self._warned = False

    @property
    def file(self) -> Path:
        """Return the path of the database, which is a file here."""
        return places.file(self.place.db, "an engine of one machine drives", "goalfsm node serves")

    # Its beginning.

    def program(self) -> bytes | None:
        """Return the worker to be stored with what is asked, None the second time."""
        config = None if self._worker is None or self.begun else self._worker.encode()
        if config is not None:
            asking.require_person(self.place.db, "storing a program")
        return config

    def opening(self, session: Session | None) -> Event | None:
        """Return what gives a goal or takes it up; raise where that is refused.

        Once it has begun, only what a start of the engine has stopped is taken up: a person
        already said that this goal is to be worked on.
        """
        goal = None if session is None else session.goal
        if self.begun:
            if session is None or goal is None or goal.goal_id != self._goal_id:
                return None
            if goal.status == PAUSED and goal.pause_reason == "shutdown":
                return ResumeRequested()
            return WakeRequested() if asks_to_go_on(session) else None
        if self._objective is not None:
            unfinished = goal is not None and goal.status != COMPLETE
            if unfinished and not self._objective.replace and not self._is_given:
                raise asking.busy(self.place)
            # Where an engine took it and was gone before the goal was seen, the repeat is answered.
            return self._objective
        return self._taking_up(session)

    def _taking_up(self, session: Session | None) -> Event | None:
        """Return what takes the thread's goal up, or the first of its queue."""
        if session is None:
            raise asking.unknown_thread(self.place)
        goal = session.goal
        if self._advance and session.queue and (goal is None or goal.status == COMPLETE):
            return NextGoalRequested()
        if goal is None:
            raise asking.no_goal(self.place)
        if asks_to_go_on(session):
            return WakeRequested()
        return ResumeRequested() if goal.status in {PAUSED, BLOCKED} else None

    def check(self, reply: Reply) -> None:
        """Raise the refusal of what was asked for; say where it is only recorded."""
        if not reply.ok:
            raise asking.refusal(self.place, reply)
        self._is_given = True
        if reply.code == "recorded":
            self.view.say(reply.message)

    def begin(self, status: Status) -> Over | None:
        """Take note of the goal that this is for; return the end where it is over already."""
        if not self.begun and status.goal is not None:
            self._goal_id = status.goal.goal_id
            self._advance = self._advance or status.advances
            self._tell_sealed()
        self.begun = True
        self.event_id = uuid.uuid4().hex
        over = self.look(status)
        if over is None and status.run is None and status.activity_kind in {"waiting", "verifying"}:
            self._tell_who_is_asked(status)
        return over

    def _tell_sealed(self) -> None:
        """Say which files a verifier is made of: where one changes, it proves nothing."""
        from goalfsm.cli.describing import sealed_lines  # noqa: PLC0415  only for a new goal

        told = [] if self._objective is None else sealed_lines(self._objective)
        for row in told:
            self.view.say(row)
        if told:
            self.view.say("--unsealed PATH leaves out what the work is meant to change of that")

    # Its course.

    def note(self, notice: Notice) -> None:
        """Show a notice, and remember what tells how the goal ended."""
        self.view.show(notice)
        if isinstance(notice, Happened) and notice.reply is not None and notice.reply.ok:
            event = event_of(notice.event)
            if isinstance(event, ToolCalled) and event.name == CREATE_GOAL.name:
                self._followed_up = True
        if isinstance(notice, StatusChanged) and self._is_ours(notice.status):
            self._last = notice.status
        if isinstance(notice, StatusChanged | Settled) and not self._warned:
            self._warn(notice.status)

    def changed(self, notice: Notice) -> bool:
        """Tell whether the thread may be at an end now; what a notice says may be old already."""
        if isinstance(notice, StatusChanged):
            others = notice.status.goal is not None and not self._is_ours(notice.status)
            return self.begun and others
        return isinstance(notice, Settled)

    def look(self, status: Status) -> Over | None:
        """Return the end, where the goal has left active and its last turn has ended.

        A goal whose place another one has taken is over at once.
        """
        goal = status.goal
        if goal is None or self._is_ours(status):
            if goal is not None and (goal.status == ACTIVE or status.run is not None):
                self._tell_who_is_asked(status)
                return None
            if goal is None:
                return Over(exits.ATTENTION, status)
            return Over(exits.of_goal(goal.status, goal.pause_reason), status)
        last = None if self._last is None else self._last.goal
        again = speak("goalfsm run --thread THREAD", self.place)
        named = f"{line(goal.objective)} ({goal.status})"
        complete = last is not None and last.status == COMPLETE
        if complete and not self._followed_up and self._advance:
            return self.go_on(status)
        if self._followed_up or complete:
            said = f"the thread has a next goal: {line(goal.objective)}; `{again}` works on it"
            return Over(exits.OK, self._last, said, goal.goal_id)
        said = f"the goal of this run was replaced by another: {named}; `{again}` works on that"
        return Over(exits.ATTENTION, None, said)

    def next_request(self, over: Over) -> NextGoalRequested | None:
        """Return what asks for the next goal of the queue where ``over`` is not the end of all.

        Where the thread's policy says that it goes on, the engine asks for it too: one is granted.
        """
        status = over.status
        if status is None or over.exit_status != exits.OK or over.next_goal is not None:
            return None
        if not (status.queue and self._advance):
            return None
        return NextGoalRequested(expected_goal_id=self._goal_id)

    def go_on(self, status: Status, reply: Reply | None = None) -> Over | None:
        """Turn to the goal that came from the queue; return the end where it is over already.

        ``reply`` is what the request for it was answered with.
        """
        goal = status.goal
        if goal is None or self._is_ours(status):
            why = "" if reply is None else f"the queue is left as it is: {reply.message}"
            self._advance = False
            return Over(exits.OK, status, why)
        self._tell_record(self._last)
        left = f", {len(status.queue)} more" if status.queue else ""
        self.view.say(f"going on to the next goal of the queue{left}: {line(goal.objective)}")
        self._goal_id = goal.goal_id
        self._last, self._followed_up, self._warned = None, False, False
        return self.look(status)

    def gone_on(self, remote: Remote, over: Over | None) -> Over | None:
        """Have ``remote`` go on to the queued goals, where that was asked for; return the end."""
        thread_id = self.place.thread_id
        while over is not None and (event := self.next_request(over)) is not None:
            reply = remote.request(thread_id, event, uuid.uuid4().hex)
            over = self.go_on(remote.status(thread_id), reply)
        return over

    def close(self, over: Over) -> None:
        """Show where the goal was left, and what was said of it and read by no turn."""
        ours = over.status is not None and self._is_ours(over.status)
        last = over.status if ours else self._last
        if last is not None:
            for text in (*last.left_unread, *(() if ours else last.waiting_messages)):
                self.view.say(f"no turn has read this message: {short(text)}")
            for text in last.waiting_messages if ours else ():
                self.view.say(f"this message is kept for the next turn: {short(text)}")
        self._tell_record(last)
        if over.status is not None:
            self.view.close(over.status, speak(over.status.hint, self.place))
        if over.said:
            self.view.say(over.said)

    def _tell_record(self, status: Status | None) -> None:
        """Say where the record of a goal was written, if it was."""
        db = self.place.db
        goal = None if status is None else status.goal
        path = written("" if isinstance(db, Server) else str(db), self.place.thread_id, goal)
        if path:
            self.view.say(f"its record is written: {visible(path)}")

    def _is_ours(self, status: Status) -> bool:
        return status.goal is not None and status.goal.goal_id == self._goal_id

    def _warn(self, status: Status) -> None:
        """Say, once, that a budget can never be used up: its worker reports no such use."""
        if status.toothless and self._is_ours(status):
            self._warned = True
            budgets = " and ".join(status.toothless)
            self.view.say(
                f"the worker reports no use of {budgets}: that budget never ends the work; "
                "a number of turns or a time does (goalfsm budget --max-continuations, --time)"
            )

    def _tell_who_is_asked(self, status: Status) -> None:
        """Say, once for each time, which command the goal is waiting for."""
        asked = speak(status.hint, self.place)
        if asked and asked != self._asked:
            self.view.say(f"this waits for you: {asked}")
        self._asked = asked
