"""What must hold of commits and replies: each follows on the last, and is decided again.

The record of what became durable is the rules' own; every event is decided again on the state
before it, and compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.daemon.flow.decide import decode_reply, prepare
from goalfsm.daemon.host.zones import zone
from goalfsm.session import codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.context import Rules, Step
from goalfsm.session.state import Reply, Session
from goalfsm.session.thread import Ready, context_of, handle
from goalfsm.session.work import next_wake
from goalfsm.store.port import Commit
from goalfsm.testing import invariants
from tests.simulation.effect_rules import EffectRules
from tests.simulation.records import Open, short
from tests.simulation.session_rules import SessionRules

if TYPE_CHECKING:
    from tests.simulation.process import Process


class CommitRules(SessionRules, EffectRules):
    """Looks at every event that becomes durable, and at every answer."""

    def _event(self, process: Process, commit: Commit, revision: int) -> None:
        self._world.stats.events += 1
        known = self.thread(commit.thread_id)
        if commit.expected_revision != known.revision or revision != known.revision + 1:
            detail = f"{commit.expected_revision} became {revision} at {known.revision}"
            self.fail("a commit does not follow on the last one", detail)
        if commit.event_id in known.events:
            self.fail("an event is committed twice", commit.event_id)
        if commit.inbox_id is not None:
            if commit.inbox_id in self._consumed:
                self.fail("an inbox row is consumed twice", commit.inbox_id)
            self._consumed[commit.inbox_id] = (commit.thread_id, revision)
            self._replies[commit.inbox_id] = decode_reply(commit.reply)
        event = codec.decode_event(commit.event)
        process.trace("commits", commit.thread_id, revision, short(event))
        self._world.callers.committed(commit, event)
        before = known.session
        step = self._decide_again(commit, event, before)
        known.session, known.revision = step.session, revision
        known.events[commit.event_id] = revision
        known.digests.append(commit.digest)
        if step.session.goal is not None:
            self._goal_threads[step.session.goal.goal_id] = commit.thread_id
        self._look(commit.thread_id, known, before, event, step)
        self._effects(commit, revision, step)
        for key in commit.outbox_done:
            self._done(key, by=event)

    def _effects(self, commit: Commit, revision: int, step: Step) -> None:
        """Note what is to be done now, and look whether all of it is written down."""
        written = {effect.key for effect in commit.outbox}
        for index, effect in enumerate(step.effects):
            key = f"{commit.thread_id}/{revision}/{index}"
            if key in written:
                self.effects[key] = Open(commit.thread_id, effect)
            elif isinstance(effect, f.StartRun):
                self.effects[key] = Open(commit.thread_id, effect, done=True)
            elif isinstance(effect, f.SendWork):
                if effect.kind == "wind_down":
                    self.wound_down.add(effect.goal_id)
            elif not isinstance(effect, f.AppendEntry):
                self.fail("an effect is not written down", f"{effect}")

    def _decide_again(self, commit: Commit, event: e.Event, before: Session) -> Step:
        """Decide the event on the state before it, and compare: replay equals snapshot."""
        world = self._world
        at = (commit.thread_id, commit.event_id, commit.at_ms)
        context = context_of(*at, zones=zone, rules=Rules(world.machine))
        # Not by a thread of its own: that would meet the faults that engines' decisions meet.
        step = handle(before, event, context)
        again = prepare(
            commit.thread_id,
            commit.expected_revision,
            Ready(event, *step, next_wake(step.session)),
            event_id=commit.event_id,
            at_ms=commit.at_ms,
            outside=commit.inbox_id is not None,
            done=commit.outbox_done,
        ).commit
        if again != commit:
            differ = [
                f"{name}: {getattr(again, name)!r:.600} was {getattr(commit, name)!r:.600}"
                for name in Commit.__struct_fields__
                if getattr(again, name) != getattr(commit, name)
            ]
            self.fail("a replay gives something else", f"{event}\n  " + "\n  ".join(differ))
        try:
            invariants.check(before, event, step, now_ms=commit.at_ms)
        except AssertionError as broken:
            self.fail("an invariant is broken", str(broken))
        return step

    # People.

    def answered(self, event_id: str, thread_id: str, reply: Reply, *, fresh: bool) -> None:
        """Look at an answer: what was said to be accepted is in the journal, and stays there.

        ``fresh``: nothing was known of the thread when it was asked. What is refused there leaves
        nothing behind, so that the same may be accepted when it is asked again.
        """
        if fresh and not reply.ok:
            return
        if reply.code == "suspended":
            return
        known = self.thread(thread_id)
        if event_id not in known.events:
            if reply.ok or known.revision:
                self.fail("a reply before its event is durable", f"{event_id}: {reply}")
            return
        first = self._replies.get(event_id)
        if first is not None and first != reply:
            self.fail("a repeated command gets another reply", f"{first}, then {reply}")

    def unconsumed(self) -> list[str]:
        """Return inbox rows that no commit has consumed."""
        return [inbox_id for inbox_id in self._inbox if inbox_id not in self._consumed]

    def undone(self) -> dict[str, tuple[str, f.Effect]]:
        """Return the effects that are not marked as done, with their threads."""
        return {key: (o.thread, o.effect) for key, o in self.effects.items() if not o.done}
