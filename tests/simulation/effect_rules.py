"""What must hold of effects: each has its commit, is due, and is done when it is marked so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.stages.performers import CallbackCall
from goalfsm.goal.model import Goal
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.codec import token_digest
from goalfsm.session.state import Claim
from goalfsm.workers import protocol as w
from tests.simulation.records import Open, Records

if TYPE_CHECKING:
    from tests.simulation.children import Child
    from tests.simulation.process import Process


_UNDECIDED: Final = frozenset({"fenced", "internal_error"})
"""Codes of answers to calls that were not decided: no commit stands for them."""


class EffectRules(Records):
    """Looks at every effect that is done, answered or marked."""

    def _is_due(self, engine: Process, wanted: Callable[[Open], bool]) -> bool:
        """Tell whether an effect was committed and is not marked as done.

        A deposed engine that has not noticed may come too late with what it had committed: its
        successor has seen to it by then.
        """
        return any(
            wanted(opened) and (engine.deposed or not opened.done)
            for opened in self.effects.values()
        )

    def starts(self, child: Child, work: w.Work) -> None:
        """Look at a worker that starts."""
        run_id, thread_id = work.run_id, work.thread_id
        # It may be marked already: what has to be ended after a crash is told by the open run.
        start = f.StartRun(run_id=run_id)
        if not any(o.effect == start and o.thread == thread_id for o in self.effects.values()):
            self.fail("a worker starts without a commit", run_id)
        run = self.session(thread_id).run
        if not child.engine.deposed and (run is None or run.run_id != run_id):
            self.fail("a worker starts for a run that is not open", run_id)
        if run_id in self._started:
            self.fail("a worker starts twice", run_id)
        self._world.people.look_at_stops(child.engine, thread_id, run_id)
        self._started.add(run_id)
        if not child.engine.deposed:
            # Those of a deposed engine that goes on end when it notices, see `after_step`.
            alive = self._world.children.alive(thread_id)
            others = [c for c in alive if not c.late and (c.engine.dead or not c.engine.deposed)]
            if others:
                self.fail("two runs of one thread live", f"{others[0].run_id} and {run_id}")
            self._prompt(thread_id, work)

    def _prompt(self, thread_id: str, work: w.Work) -> None:
        """Look at a prompt: it carries what the session has given to the run."""
        known = self.thread(thread_id)
        for message in known.session.steering:
            if message.carried_by != work.run_id:
                continue
            if f'"{message.message_id}"' not in work.prompt:
                self.fail("a prompt lacks a person's message", message.message_id)
            known.seen.add(message.message_id)

    def steers(self, engine: Process, run_id: str, message_id: str, text: str) -> None:
        """Look at a message that reaches a running worker."""
        if run_id not in self._started or not text:
            self.fail("steering of a run that never began", run_id)

        def wanted(opened: Open) -> bool:
            match opened.effect:
                case f.DeliverSteering():
                    named = (opened.effect.run_id, opened.effect.message_id)
                    return named == (run_id, message_id)
            return False

        wound_down = message_id.removeprefix("wind-down-") in self.wound_down
        if wound_down:
            self._wound_down.add(run_id)
        if not wound_down and not self._is_due(engine, wanted):
            self.fail("a worker is steered without a commit, or after its mark", message_id)

    def compacts(self, engine: Process, work: w.Work) -> None:
        """Look at a compaction that begins."""
        opened = self.effects.get(work.run_id)
        if opened is None or not self._is_due(engine, lambda o: o is opened):
            self.fail("a compaction without a commit, or after its mark", work.run_id)

    def verifies(self, engine: Process, goal: Goal, claim: Claim) -> None:
        """Look at a verifier that begins."""
        wanted = {
            f.RunVerifier(claim_id=claim.claim_id, index=index)
            for index in range(len(goal.verifiers))
        }
        if not self._is_due(engine, lambda o: o.effect in wanted):
            self.fail("a verification without a commit, or after its mark", claim.claim_id)

    def called_back(self, engine: Process, call: CallbackCall) -> None:
        """Look at a callback that is called."""
        opened = self.effects.get(call.key)
        if opened is None or not self._is_due(engine, lambda o: o is opened):
            self.fail("a callback without a commit, or after its mark", call.key)
        self._callbacks[call.key] = self._callbacks.get(call.key, 0) + 1

    def tool_answered(self, child: Child, result: w.ToolResult) -> None:
        """Look at the answer to a tool call: it was decided before it is given."""
        if result.code in _UNDECIDED:
            child.undecided += 1
            return
        calls = self.thread(child.thread).tool_calls.get(token_digest(child.token), 0)
        if child.answers - child.undecided > calls and not child.engine.dead:
            if child.engine.deposed:
                return
            self.fail("a tool call is answered before it is durable", f"{result}")

    def _done(self, key: str, *, by: e.Event | None = None) -> None:
        """Look at an effect that is marked as done: it has been, or nobody needs it any more."""
        opened = self.effects.get(key)
        if opened is None:
            self.fail("something is marked as done that was never committed", key)
            return
        if opened.done:
            return
        opened.done = True
        session, effect = self.session(opened.thread), opened.effect
        missing = False
        match effect:
            case f.RunCallback():
                missing = key not in self._callbacks
            case f.RunVerifier(claim_id=claim_id, index=index):
                claim = session.claim
                waits = claim is not None and claim.claim_id == claim_id
                known = claim is not None and index in {r.index for r in claim.results}
                missing = waits and not known
            case f.CompactContext():
                missing = not isinstance(by, e.CompactionEnded)
            case _:
                pass
        if missing:
            self.fail("something is marked as done that was not done", f"{key}: {effect}")
