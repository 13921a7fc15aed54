"""What must hold, whatever breaks: looked at with every commit, every effect and every step.

The oracle keeps its own record of what became durable, decides every event again, and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm import effects as f
from goalfsm import events as e
from goalfsm.accounting import tokens_of
from goalfsm.daemon.doing import CallbackCall
from goalfsm.daemon.records import decode_reply, prepare
from goalfsm.daemon.world import decision_context
from goalfsm.model import ACTIVE, LIMITED, PAUSED, Goal, Usage
from goalfsm.session import codec
from goalfsm.session.handle import handle
from goalfsm.session.state import Claim, Reply, Session, Step
from goalfsm.store.port import (
    EXPIRY_MS,
    Commit,
    Committed,
    Conflict,
    Done,
    Duplicate,
    Outcome,
)
from goalfsm.testing import invariants
from goalfsm.workers import protocol as w
from tests.simulation.plan import telling

if TYPE_CHECKING:
    from tests.simulation.children import Child
    from tests.simulation.process import Process
    from tests.simulation.world import World

FENCED_WITHIN_US: Final = 3_000_000
"""A deposed engine that runs notices at its next heartbeat, two seconds away at most."""


class Thread:
    """What the oracle knows of one thread."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.revision = 0
        self.events: dict[str, int] = {}
        """The revision of each committed event."""
        self.digests: list[bytes] = []
        self.usage: dict[str, Usage] = {}
        """What was committed, by key."""
        self.tokens = 0
        self.reported = Usage()
        self.seen: set[str] = set()
        """Steering messages that some worker has been shown."""
        self.tool_calls: dict[str, int] = {}
        """Committed tool calls, by the token of their run."""
        self.opened_runs: set[str] = set()


class Open:
    """An effect that was committed."""

    def __init__(self, thread: str, effect: f.Effect) -> None:
        self.thread = thread
        self.effect = effect
        self.done = False


class Oracle:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._threads: dict[str, Thread] = {}
        self.effects: dict[str, Open] = {}
        self.epoch = 0
        self._owner: Process | None = None
        self._beat_ms = 0
        self._inbox: dict[str, str] = {}
        self._consumed: dict[str, tuple[str, int]] = {}
        self._replies: dict[str, Reply] = {}
        self._started: set[str] = set()
        self._callbacks: dict[str, int] = {}
        self._goal_threads: dict[str, str] = {}

    def fail(self, rule: str, detail: str = "") -> None:
        """End the world: this must not happen."""
        self._world.fail(rule, detail)

    def thread(self, thread_id: str) -> Thread:
        """Return what is known of a thread."""
        known = self._threads.get(thread_id)
        if known is None:
            fresh = Session(policy=self._world.plan.policy)
            known = self._threads[thread_id] = Thread(fresh)
        return known

    def session(self, thread_id: str) -> Session:
        """Return the committed session of a thread."""
        return self.thread(thread_id).session

    def thread_of(self, goal_id: str) -> str:
        """Return whose goal it is."""
        return self._goal_threads[goal_id]

    # Ownership.

    def claimed(self, process: Process, epoch: int) -> None:
        """Look at a claim: the epoch grows, and nobody who is well loses the store."""
        world = self._world
        if epoch == self.epoch and self._owner is process:
            return
        if epoch != self.epoch + 1:
            self.fail("an epoch does not follow on the last one", f"{self.epoch}, then {epoch}")
        before = self._owner
        if before is not None and not before.dead:
            silent_ms = world.uptime_ms(world.now_us) - self._beat_ms
            if silent_ms < EXPIRY_MS:
                self.fail("an owner that is well loses the store", f"silent for {silent_ms} ms")
            before.deposed_at_us = world.now_us
            world.stats.takeovers += 1
        self.epoch, self._owner = epoch, process
        self.beat(process)

    def beat(self, process: Process) -> None:
        """Look at a heartbeat: only the owner's may succeed."""
        if process.store.claimed != self.epoch:
            self.fail("a deposed engine may beat", repr(process))
        # What it says is what it read of the clock: it may have stood still since.
        owner = self._world.disk.owner
        self._beat_ms = 0 if owner is None else owner.uptime_ms

    def released(self, process: Process) -> None:
        """Note that an owner gives the store up by itself."""
        if self._owner is process:
            self._owner = None

    def went_on(self, process: Process) -> None:
        """Note that a process goes on: what it did not see, it has to notice from now on."""
        if process.deposed:
            process.deposed_at_us = self._world.now_us

    def after_step(self) -> None:
        """Look at the world between two steps."""
        world = self._world
        for process in world.processes:
            since = process.deposed_at_us
            if since is None or not process.runs or world.now_us - since < FENCED_WITHIN_US:
                continue
            if any(child.engine is process for child in world.children.all):
                self.fail("a deposed engine keeps its workers", repr(process))

    # Commits.

    def committed(
        self,
        process: Process,
        batch: Sequence[Commit],
        outcomes: Sequence[Outcome],
        done: Sequence[Done],
    ) -> None:
        """Look at what has just become durable, and at what has not."""
        self._world.stats.commits += 1
        if process.store.claimed != self.epoch:
            self.fail("a deposed engine commits", f"{process}: {len(batch)} events")
        for commit, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Committed(revision=revision):
                    self._event(process, commit, revision, batch)
                case Duplicate(revision=revision):
                    process.trace("repeats", commit.thread_id, revision, commit.event_id)
                    self._repeat(commit, revision)
                case Conflict(actual_revision=actual):
                    process.trace("conflicts", commit.thread_id, actual, commit.expected_revision)
                    known = self.thread(commit.thread_id)
                    follows = any(
                        c.thread_id == commit.thread_id
                        and c.expected_revision < commit.expected_revision
                        for c in batch
                    )
                    same = actual == commit.expected_revision and not follows
                    if actual != known.revision or same:
                        self.fail("a conflict without a reason", f"at {actual}")
                case _:
                    self.fail("a commit is refused", f"{outcome}")
        for mark in done:
            process.trace("marks", mark.key)
            self._done(mark.key)

    def _repeat(self, commit: Commit, revision: int) -> None:
        known = self.thread(commit.thread_id)
        if known.events.get(commit.event_id) != revision:
            self.fail("a new event is taken for a repeat", commit.event_id)
        inbox_id = commit.inbox_id
        if inbox_id in self._inbox and inbox_id not in self._consumed:
            self._consumed[inbox_id] = (commit.thread_id, revision)

    def _event(
        self, process: Process, commit: Commit, revision: int, batch: Sequence[Commit]
    ) -> None:
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
        process.trace("commits", commit.thread_id, revision, _short(event))
        before = known.session
        step = self._decide_again(commit, event, before)
        known.session, known.revision = step.session, revision
        known.events[commit.event_id] = revision
        known.digests.append(commit.digest)
        if step.session.goal is not None:
            self._goal_threads[step.session.goal.goal_id] = commit.thread_id
        self._look(commit.thread_id, known, before, event, step)
        written = {effect.key for effect in commit.outbox}
        for index, effect in enumerate(step.effects):
            key = f"{commit.thread_id}/{revision}/{index}"
            if key in written:
                self.effects[key] = Open(commit.thread_id, effect)
            elif not isinstance(effect, f.AppendEntry):
                self._taken(commit, effect, batch)
        for key in commit.outbox_done:
            self._done(key, by=event)

    def _decide_again(self, commit: Commit, event: e.Event, before: Session) -> Step:
        """Decide the event on the state before it, and compare: replay equals snapshot."""
        world = self._world
        context = decision_context(commit.thread_id, commit.event_id, commit.at_ms, world.machine)
        step = handle(before, event, context)
        again = prepare(
            commit.thread_id,
            commit.expected_revision,
            event,
            step,
            event_id=commit.event_id,
            at_ms=commit.at_ms,
            outside=commit.inbox_id is not None,
            done=commit.outbox_done,
        ).commit
        outbox = tuple(effect for effect in again.outbox if effect in commit.outbox)
        again = msgspec.structs.replace(again, outbox=outbox)
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

    def _taken(self, commit: Commit, effect: f.Effect, batch: Sequence[Commit]) -> None:
        """Look at an effect that is in no outbox: the same transaction has done it."""
        later = (
            codec.decode_event(other.event)
            for other in batch
            if other.thread_id == commit.thread_id
            and other.expected_revision > commit.expected_revision
        )
        work = isinstance(effect, f.SendWork) and effect.kind == "continuation"
        if not work or not any(isinstance(event, e.RunDispatched) for event in later):
            self.fail("an effect is not written down", f"{effect}")

    def _look(
        self, thread_id: str, known: Thread, before: Session, event: e.Event, step: Step
    ) -> None:
        self._ledger(known, before, event)
        self._steering(thread_id, known, before, event)
        self._pauses(before, event, step.session)
        match event:
            case e.RunDispatched(run_id=run_id) if step.session.run is not None:
                if step.session.run.run_id == run_id:
                    self._dispatch(known, run_id, step.session)
            case e.RunFinished(run_id=run_id) if before.run is not None:
                if before.run.run_id == run_id and event.outcome != "aborted":
                    self._all_reported(known, run_id)
            case e.RunInterrupted():
                self._world.stats.runs_interrupted += 1
            case e.ToolCalled(run_token=str() as token):
                known.tool_calls[token] = known.tool_calls.get(token, 0) + 1
            case _:
                pass

    def _dispatch(self, known: Thread, run_id: str, session: Session) -> None:
        if run_id in known.opened_runs:
            self.fail("a run is dispatched twice", run_id)
        known.opened_runs.add(run_id)
        goal, run = session.goal, session.run
        ends = run is not None and run.wind_down and goal is not None and goal.status == LIMITED
        if goal is None or (goal.status != ACTIVE and not ends):
            self.fail("a run for a goal that stopped", f"{run_id}: {goal}")

    def _pauses(self, before: Session, event: e.Event, after: Session) -> None:
        was, now = before.goal, after.goal
        if was is None or now is None or was.goal_id != now.goal_id or was.status == now.status:
            return
        if isinstance(event, e.RunInterrupted) and now.status != LIMITED:
            self.fail("a crash changes the status", f"{was.status} became {now.status}")
        if now.pause_reason == "interrupt":
            self.fail("a goal is paused by an abort that nobody asked for", _short(event))
        asked = isinstance(event, e.ResumeRequested | e.ClaimRejected | e.BudgetChanged)
        own = was.pause_reason == "user" and was.resume_at_ms is None
        if was.status == PAUSED and own and now.status == ACTIVE and not asked:
            self.fail("a person's pause ends by itself", _short(event))

    # The ledger.

    def _ledger(self, known: Thread, before: Session, event: e.Event) -> None:
        if isinstance(event, e.UsageReported):
            self._usage(known, before, event)
        ledger = known.session.ledger
        booked = ledger.charged_tokens + sum(ledger.uncharged.values())
        if ledger.reported != known.reported or booked != known.tokens:
            expected = f"{known.tokens} tokens, {known.reported}"
            self.fail("the ledger is not what was reported", f"{ledger} instead of {expected}")

    def _usage(self, known: Thread, before: Session, event: e.UsageReported) -> None:
        child = self._world.children.by_run.get(event.run_id)
        said = [] if child is None else child.said.get(event.key, [])
        if event.usage not in map(_usage_of, said):
            self.fail("usage that no worker reported", f"{event}")
        if event.key in known.usage:
            return
        known.usage[event.key] = event.usage
        known.tokens += tokens_of(event.usage, before.policy.cached_weight)
        total, usage = known.reported, event.usage
        known.reported = Usage(
            input_tokens=total.input_tokens + usage.input_tokens,
            output_tokens=total.output_tokens + usage.output_tokens,
            cached_tokens=total.cached_tokens + usage.cached_tokens,
            cost=total.cost + usage.cost,
        )

    def _all_reported(self, known: Thread, run_id: str) -> None:
        """Look at a run that ended well: nothing that it used may be missing."""
        child = self._world.children.by_run.get(run_id)
        if child is None:
            self.fail("a run ends that never began", run_id)
            return
        kept = known.usage.keys() | self._world.poisoned_usage
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
        gone = [m.message_id for m in before.steering if m.message_id not in kept]
        if not gone or before.goal is None:
            return
        if after.goal is None or after.goal.goal_id != before.goal.goal_id:
            return
        read = isinstance(event, e.SteeringAcknowledged) or (
            isinstance(event, e.RunFinished) and event.outcome == "finished"
        )
        for message_id in gone:
            if not read or message_id not in known.seen:
                why = f"{message_id} of {thread_id}, by {_short(event)}"
                self.fail("a person's message is dropped unread", why)

    # Effects.

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
                case f.SendWork(kind="budget_limit", goal_id=goal_id):
                    return message_id == f"wind-down-{goal_id}"
            return False

        if not self._is_due(engine, wanted):
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
        calls = self.thread(child.thread).tool_calls.get(child.token, 0)
        undecided = result.code in {"fenced", "internal_error"}
        if child.answers > calls and not undecided and not child.engine.dead:
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
            case f.SendWork(kind="continuation", goal_id=goal_id):
                queued = session.continuation.queued == goal_id
                missing = queued and not isinstance(by, e.RunDispatched | e.TurnStarted)
                missing = missing and not self._newer(key, opened)
            case _:
                pass
        if missing:
            self.fail("something is marked as done that was not done", f"{key}: {effect}")

    def _newer(self, key: str, than: Open) -> bool:
        """Tell whether the same work was sent again: then one of both is enough."""
        return any(
            other is not than and not other.done and other.effect == than.effect
            for name, other in self.effects.items()
            if name != key and other.thread == than.thread
        )

    # People.

    def put(self, inbox_id: str, thread_id: str) -> None:
        """Note a row that is in the inbox for good."""
        self._inbox[inbox_id] = thread_id

    def answered(self, event_id: str, thread_id: str, reply: Reply) -> None:
        """Look at an answer: what was said to be accepted is in the journal, and stays there."""
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

    def compare_with_disk(self) -> None:
        """Compare everything that was committed with what is stored: nothing may be missing."""
        disk = self._world.disk
        for thread_id, known in self._threads.items():
            rows = disk.journal.get(thread_id, [])
            if [row.digest for row in rows] != known.digests:
                self.fail("committed events are missing", f"{len(rows)} of {known.revision}")
            if {row.event_id: row.revision for row in rows} != known.events:
                self.fail("the journal holds other events", thread_id)
            stored = disk.sessions.get(thread_id)
            if known.revision and (stored is None or stored.state != codec.encode(known.session)):
                self.fail("a snapshot is not what was committed", thread_id)
        waiting = sorted(row.inbox_id for row in self._world.front.inbox.pending())
        if waiting != sorted(self.unconsumed()):
            self.fail("the inbox is not what was left in it", f"{waiting}")
        stored_open = set(disk.open_effects)
        if stored_open != set(self.undone()):
            differ = sorted(stored_open ^ set(self.undone()))
            self.fail("open effects are not what was committed", f"{differ}")


def _usage_of(report: w.UsageReported) -> Usage:
    return Usage(
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cached_tokens=report.cached_tokens,
        cost=report.cost,
    )


def _short(event: e.Event) -> str:
    fields = telling(msgspec.to_builtins(event))
    fields.pop("type", None)
    return f"{type(event).__name__}({', '.join(f'{k}={v}' for k, v in fields.items())})"
