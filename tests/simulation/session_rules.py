"""What must hold of a session: its runs, its pauses, its ledger, and what people said to it."""

from __future__ import annotations

from goalfsm.goal.model import ACTIVE, LIMITED, Usage
from goalfsm.session import events as e
from goalfsm.session.context import Step
from goalfsm.session.state import Session
from goalfsm.workers import protocol as w
from tests.simulation.records import Records, Thread, short


class SessionRules(Records):
    """Looks at a session with every event that was committed."""

    def _look(
        self, thread_id: str, known: Thread, before: Session, event: e.Event, step: Step
    ) -> None:
        self._course(known, before, event)
        self._steering(thread_id, known, before, event)
        self._pauses(before, event, step.session)
        match event:
            case e.RunDispatched(run_id=run_id) if step.session.run is not None:
                if step.session.run.run_id == run_id:
                    self._dispatch(run_id, step.session)
            case e.RunFinished(run_id=run_id) if before.run is not None:
                if before.run.run_id == run_id and event.outcome != "aborted":
                    self._all_reported(known, run_id)
            case e.DecisionFailed(event_id=event_id):
                self.faulted.add(event_id)
            case e.RunInterrupted():
                self._world.stats.runs_interrupted += 1
            case e.WindDownDelivered(run_id=run_id) if run_id not in self._wound_down:
                self.fail("a turn is said to wind down that was not told", run_id)
            case e.ToolCalled(run_token=str() as token):
                known.tool_calls[token] = known.tool_calls.get(token, 0) + 1
                if known.tool_calls[token] > self._world.children.calls[token]:
                    self.fail("a tool call counts twice", short(event))
            case _:
                pass

    def _dispatch(self, run_id: str, session: Session) -> None:
        goal, run = session.goal, session.run
        ends = run is not None and run.wind_down and goal is not None and goal.status == LIMITED
        if goal is None or (goal.status != ACTIVE and not ends):
            self.fail("a run for a goal that stopped", f"{run_id}: {goal}")

    def _pauses(self, before: Session, event: e.Event, after: Session) -> None:
        was, now = before.goal, after.goal
        if was is None or now is None or was.goal_id != now.goal_id or was.status == now.status:
            return
        if now.pause_reason == "interrupt":
            self.fail("a goal is paused by an abort that nobody asked for", short(event))

    # The ledger.

    def _course(self, known: Thread, before: Session, event: e.Event) -> None:
        if isinstance(event, e.UsageReported):
            self._usage(event)
        try:
            known.course.follow(before, event, known.session)
        except AssertionError as broken:
            self.fail("a thread takes a course that it may not", str(broken))

    def _usage(self, event: e.UsageReported) -> None:
        child = self._world.children.by_run.get(event.run_id)
        said = [] if child is None else child.said.get(event.key, [])
        if event.usage not in map(_usage_of, said):
            self.fail("usage that no worker reported", f"{event}")

    def _all_reported(self, known: Thread, run_id: str) -> None:
        """Look at a run that ended well: nothing that it used may be missing."""
        child = self._world.children.by_run.get(run_id)
        if child is None:
            # It used nothing whose supervisor did not start it before its time was up.
            if run_id not in self._world.children.unstarted:
                self.fail("a run ends that never began", run_id)
            return
        kept = known.course.usage.keys() | self._world.poisoned_usage
        missing = [key for key in child.reports if key not in kept]
        if missing:
            self.fail("usage is lost", f"{missing} of {run_id}")

    # Steering.

    def seen(self, thread_id: str, message_id: str) -> None:
        """Note that a worker was shown a message."""
        self.thread(thread_id).seen.add(message_id)

    def _steering(self, thread_id: str, known: Thread, before: Session, event: e.Event) -> None:
        after = known.session
        kept = {message.message_id for message in after.steering}
        # An edit that no turn got is in the next prompt, as the objective.
        lost = [m for m in before.steering if m.message_id not in kept and m.kind == "message"]
        gone = [m.message_id for m in lost]
        if not gone or before.goal is None:
            return
        if after.goal is None or after.goal.goal_id != before.goal.goal_id:
            return
        if after.completion is not None and before.completion is None:
            told = after.completion.unread
            for message in lost:
                if message.carried_by is None and message.text not in told:
                    why = f"{message.message_id} of {thread_id}"
                    self.fail("a goal is complete without a word of what was left unread", why)
            return
        read = isinstance(event, e.SteeringAcknowledged) or (
            isinstance(event, e.RunFinished) and event.outcome == "finished"
        )
        for message_id in gone:
            if not read or message_id not in known.seen:
                why = f"{message_id} of {thread_id}, by {short(event)}"
                self.fail("a person's message is dropped unread", why)


def _usage_of(report: w.UsageReported) -> Usage:
    return Usage(
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cached_tokens=report.cached_tokens,
        cost=report.cost,
    )
