"""What people ask of goals, as a test says it: one method a request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from goalfsm.errors import GoalError
from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import events as e
from goalfsm.session.state import Reply
from goalfsm.testing.times import Duration, seconds_of


class RequestRejected(GoalError, AssertionError):
    """The engine refused what the test asked of it; `MemoryGoals.send` returns such a reply."""

    code = "refused"


class Asking(ABC):
    """Requests of people; a refusal raises `RequestRejected`."""

    _asked = 0

    @abstractmethod
    def send(self, thread: str, event: e.Event, event_id: str | None = None) -> Reply:
        """Return the reply to an event from outside."""

    def give(  # noqa: PLR0913  what a goal may be given with
        self,
        thread: str,
        objective: str,
        *,
        tokens: int | None = None,
        time: Duration | None = None,
        cost: int | None = None,
        continuations: int | None = None,
        criteria: Sequence[str] = (),
        verifiers: Sequence[Verifier | str] = (),
        replace: bool = False,
    ) -> Reply:
        """Give the thread an objective; a verifier's name stands for the callable registered."""
        given = e.ObjectiveGiven(
            objective=objective,
            limits=_limits(tokens, time, cost, continuations),
            criteria=tuple(Criterion(text=text) for text in criteria),
            verifiers=tuple(
                Verifier(kind="callable", name=one) if isinstance(one, str) else one
                for one in verifiers
            ),
            replace=replace,
        )
        return self._ask(thread, given)

    def pause(self, thread: str) -> Reply:
        """Pause the goal, as a person does."""
        return self._ask(thread, e.PauseRequested())

    def resume(self, thread: str) -> Reply:
        """Take the goal up again."""
        return self._ask(thread, e.ResumeRequested())

    def clear(self, thread: str) -> Reply:
        """Give the goal up."""
        return self._ask(thread, e.ClearRequested())

    def edit(self, thread: str, objective: str) -> Reply:
        """Reword the objective."""
        return self._ask(thread, e.EditRequested(objective=objective))

    def steer(self, thread: str, text: str) -> Reply:
        """Say something that the work should take into account."""
        self._asked += 1
        return self._ask(thread, e.SteeringReceived(message_id=f"message-{self._asked}", text=text))

    def wake(self, thread: str, note: str = "") -> Reply:
        """Say that what the goal waits for has happened."""
        return self._ask(thread, e.WakeRequested(note=note))

    def accept(self, thread: str) -> Reply:
        """Accept the open claim."""
        return self._ask(thread, e.ClaimAccepted())

    def reject(self, thread: str, feedback: str = "") -> Reply:
        """Reject the open claim."""
        return self._ask(thread, e.ClaimRejected(feedback=feedback))

    def budget(  # noqa: PLR0913  the budgets that there are
        self,
        thread: str,
        limits: Limits | None = None,
        *,
        tokens: int | None = None,
        time: Duration | None = None,
        cost: int | None = None,
        continuations: int | None = None,
    ) -> Reply:
        """Change the budgets that are given, as `give` takes them; the others stay."""
        given = limits or _limits(tokens, time, cost, continuations)
        return self._ask(thread, e.BudgetChanged(limits=given))

    def _ask(self, thread: str, event: e.Event) -> Reply:
        reply = self.send(thread, event)
        if not reply.ok:
            raise RequestRejected(
                reply.message, code=reply.code, hint=reply.hint, remedies=reply.remedies
            )
        return reply


def _limits(
    tokens: int | None, time: Duration | None, cost: int | None, continuations: int | None
) -> Limits:
    return Limits(
        tokens=tokens,
        seconds=None if time is None else round(seconds_of(time)),
        cost=cost,
        continuations=continuations,
    )
