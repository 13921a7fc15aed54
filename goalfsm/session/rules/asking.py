"""When people are told that work goes no further without one of them: once for each question."""

from __future__ import annotations

from goalfsm.session.effects import AskPerson, Effect
from goalfsm.session.state import Session
from goalfsm.session.work import asked_of_person


def due(before: Session, after: Session) -> tuple[Effect, ...]:
    """Return what tells people of a question that there was not before."""
    asked = asked_of_person(after)
    if asked is None or asked == asked_of_person(before):
        return ()
    return (AskPerson(goal_id=asked.goal_id, about=asked.about),)
