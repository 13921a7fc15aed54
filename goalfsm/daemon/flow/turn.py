"""A turn as events: its dispatch, what a worker reports of it, and what its end means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from goalfsm.daemon.flow.decide import revision_of
from goalfsm.daemon.flow.notices import Output
from goalfsm.errors import REFUSED_STATUS
from goalfsm.goal.model import Usage
from goalfsm.session import events as e
from goalfsm.session.continuation import answer_digest, answer_shape, answer_step
from goalfsm.session.tools import TOOLS
from goalfsm.store.port import MAX_ANSWER_BYTES
from goalfsm.workers import protocol as w
from goalfsm.workers.output import Tail
from recovery import classify, only_error

if TYPE_CHECKING:
    from goalfsm.daemon.config import Assignment
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.routes import Routed
    from goalfsm.session.state import Run, Session
    from goalfsm.session.work import Queued

KEEP_ANSWER: Final = 256 * 1024
KEEP_ERROR: Final = 4_000
_AGAIN: Final = 16 * 1024
"""How many bytes of what a turn has said are told to who follows it later."""

_TOOLS: Final = tuple(
    w.Tool(name=tool.name, description=tool.description, parameters=tool.parameters)
    for tool in TOOLS
)

Zone = Callable[[], str | None]
"""Names a time zone; asked only of a turn that failed, for it is read from files."""


def nowhere() -> None:
    """Name no time zone."""


def dispatched(
    worker: w.Worker,
    work: Queued,
    *,
    run_id: str,
    token: str,
    turn: int,
    route: Routed | None = None,
) -> e.RunDispatched:
    """Return the event that has ``worker`` run the turn that waits; ``token`` is a digest.

    The run is open from there on: a crash reconciles it and never repeats it.
    """
    can = worker.capabilities
    return e.RunDispatched(
        run_id=run_id,
        token=token,
        turn=turn,
        wind_down=work.wind_down,
        can_steer="steer" in can,
        can_compact="compact" in can,
        route=route,
    )


def tools_of(session: Session) -> tuple[w.Tool, ...]:
    """Return the tools that the model of a thread is shown: none that it may not use."""
    return _TOOLS if session.model_may_create else _TOOLS[1:]


def work_of(
    session: Session, run: Run, prompt: str, given: Assignment, task: Task, *, db: str
) -> w.Work:
    """Return what the worker of ``run`` is asked for; ``given`` are its token and its limits.

    The revision of ``task``, which starts the run, tells it from every other one of the thread.
    """
    return w.Work(
        db=db,
        thread_id=task.thread_id,
        goal_id=run.goal_id or "",
        run_id=run.run_id,
        run_token=given.token,
        turn=run.turn,
        objective="" if session.goal is None else session.goal.objective,
        prompt=prompt,
        kind="wind_down" if run.wind_down else "continuation",
        turn_timeout_s=given.turn_timeout_s,
        silence_timeout_s=given.silence_timeout_s,
        session=session.worker_session,
        tools=tools_of(session),
        fence=revision_of(task.key),
    )


class Gathered:
    """What a run has done so far, as far as its end asks for it."""

    __slots__ = (
        "_kept",
        "_secret",
        "answer",
        "answer_length",
        "error",
        "exited",
        "progress",
        "refused",
        "said",
        "stop_reason",
        "tools_failed",
        "tools_ok",
        "usages",
    )

    def __init__(self, secret: str) -> None:
        """Keep ``secret``, the run's token, out of everything that is recorded."""
        self._secret = secret
        self._kept = 0
        self.answer: list[str] = []
        self.said = Tail(MAX_ANSWER_BYTES)
        self.answer_length = 0
        self.tools_ok = 0
        self.tools_failed = 0
        self.usages = 0
        self.stop_reason: w.StopReason = "stop"
        self.error: w.ErrorReported | None = None
        self.exited: w.Exited | None = None
        self.progress = False
        self.refused = False

    @property
    def went_well(self) -> bool:
        """Return whether the turn ended well: also where a refused call of its own ended it."""
        exited = self.exited
        if exited is None:
            return False
        return exited.ok or (
            self.refused and exited.status == REFUSED_STATUS and not exited.aborted
        )

    def settle(self, *, refused: bool) -> None:
        """Take stock at the end: an answer that is nothing but a provider's error is that error.

        ``refused``: a goal tool that the run called was refused.
        """
        self.refused = refused
        if not self.went_well:
            return
        answer = "".join(self.answer)
        if self.tools_ok or self.tools_failed or only_error(answer) is None:
            if self.exited is not None and not self.exited.ok:
                self.error = None
            return
        self.error = w.ErrorReported(message=answer, source="provider", text=answer)
        if self.exited is not None:
            self.exited = replace(self.exited, ok=False)
        self.refused = False

    def clean(self, text: str) -> str:
        """Return text without the run's token, which a program may have printed."""
        return text.replace(self._secret, "[token]") if self._secret else text

    def take(self, event: w.TurnEvent) -> None:
        """Add what the worker says of how its turn goes; what it asks for is no part of that."""
        match event:
            case w.Text(text=text):
                self._add(text)
            case w.ToolEnded(ok=ok):
                self.tools_ok += ok
                self.tools_failed += not ok
            case w.ModelTurnStarted():
                # What failed before was not the end of the turn.
                self.error = None
                self.stop_reason = "stop"
            case w.ModelTurnEnded(stop_reason=stop_reason):
                self.stop_reason = stop_reason
            case w.ErrorReported():
                self.error = event
            case w.ProgressReported():
                self.progress = True
            case w.Exited():
                self.exited = event
            case _:
                pass

    def _add(self, text: str) -> None:
        """Add to the answer; of a long one the beginning, the end and the length are kept."""
        room = KEEP_ANSWER - self._kept
        if room > 0:
            self.answer.append(text[:room])
            self._kept += min(room, len(text))
        self.answer_length += len(text)
        self.said.add(text.encode("utf-8", "replace"))

    def usage(self, run: Run, event: w.UsageReported) -> e.UsageReported:
        """Return the charge, under a key that counts once."""
        self.usages += 1
        return e.UsageReported(
            run_id=run.run_id,
            run_token=run.token,
            key=f"{run.run_id}:{event.key or self.usages}",
            usage=Usage(
                input_tokens=event.input_tokens,
                output_tokens=event.output_tokens,
                cached_tokens=event.cached_tokens,
                cost=event.cost,
            ),
        )

    def wait(self, run: Run, event: w.WaitDeclared, now_ms: int) -> e.WaitDeclared:
        """Return the wait that the turn has declared at ``now_ms``."""
        until_ms = None
        if event.seconds is not None:
            until_ms = now_ms + int(event.seconds * 1000)
        elif event.until is not None:
            until_ms = int(event.until * 1000)
        return e.WaitDeclared(
            kind=event.for_,
            until_ms=until_ms,
            pid=event.pid,
            note=self.clean(event.note),
            run_token=run.token,
            relative=event.seconds is not None,
            started=event.start_time or "",
        )

    @property
    def lost(self) -> bool:
        """Return whether nobody knows how the turn went: then it is not the worker's failure."""
        exited, error = self.exited, self.error
        if exited is None:
            return error is None or error.kind == "lost"
        return exited.aborted or (error is not None and error.kind == "lost")

    def so_far(self, thread_id: str, run_id: str) -> Output | None:
        """Return the end of what the turn has said until now; None where it has said nothing."""
        kept = self.said.kept()[-_AGAIN:]
        if not kept:
            return None
        # The first bytes may be the end of a character.
        text = kept.decode("utf-8", "ignore")
        left_out, shown = self.said.total - len(text.encode()), self.clean(text)
        return Output(thread_id=thread_id, run_id=run_id, text=shown, again=True, left_out=left_out)


def outcome_of(seen: Gathered) -> Literal["finished", "failed", "timed_out"]:
    """Return how the run ended."""
    if seen.error is not None and seen.error.kind == "timeout":
        return "timed_out"
    return "finished" if seen.went_well else "failed"


def compaction_ended(goal_id: str, done: w.Compaction) -> e.CompactionEnded:
    """Return what a worker's attempt to shorten its context means for the thread."""
    usage = Usage(
        input_tokens=sum(each.input_tokens for each in done.usage),
        output_tokens=sum(each.output_tokens for each in done.usage),
        cached_tokens=sum(each.cached_tokens for each in done.usage),
        cost=sum(each.cost for each in done.usage),
    )
    return e.CompactionEnded(ok=done.changed, goal_id=goal_id, usage=usage, data=done.session)


def message_of(seen: Gathered, zone: Zone) -> e.Message:
    """Return the turn's last message; its usage is zero, for it was charged as it came.

    ``zone`` names where the worker runs: its provider may name a time of day there.
    """
    if seen.went_well:
        stop: w.StopReason = "length" if seen.stop_reason == "length" else "stop"
        return e.Message(role="assistant", stop_reason=stop)
    error = seen.error or w.ErrorReported(message="the worker failed without saying why")
    failure, retry_after = error.failure, error.retry_after
    source = error.source if error.source in {"provider", "tool"} else "unknown"
    if error.exception is not None:
        # Only the object knows its response's headers, its causes and what class it is of.
        judged = classify(error.exception, source=source, kind=failure, status=error.status)
        failure, source = judged.kind, judged.source
        if failure == "unknown":
            # Nor is its bare text to be taken for a provider's, unless the worker says that it is.
            failure, source = None, "tool" if source == "unknown" else source
        retry_after = judged.retry_after if retry_after is None else retry_after
    return e.Message(
        role="assistant",
        stop_reason="error",
        error=seen.clean(error.text or error.message)[-KEEP_ERROR:],
        status=error.status,
        code=error.code,
        retry_after=retry_after,
        zone=zone(),
        source=source,
        failure=failure,
    )


def ended(run: Run, seen: Gathered, *, zone: Zone = nowhere, gone: bool = True) -> e.RunFinished:
    """Return the end of a run whose worker told how it went."""
    seen.settle(refused=run.refused)
    answer = "".join(seen.answer)
    return e.RunFinished(
        run_id=run.run_id,
        turn=run.turn,
        outcome=outcome_of(seen),
        message=message_of(seen, zone),
        answer_digest=answer_digest(answer),
        answer_shape=answer_shape(answer),
        answer_step=answer_step(answer),
        said_progress=seen.progress,
        answer_length=seen.answer_length,
        tools_ok=seen.tools_ok,
        tools_failed=seen.tools_failed,
        gone=gone,
    )


def finished(run: Run, reported: tuple[w.TurnEvent, ...], zone: Zone = nowhere) -> e.RunFinished:
    """Return what a worker remembers of a run that ended while no engine listened.

    Its usage is not among it, see `usages`.
    """
    seen = Gathered("")
    for event in reported:
        # Calls and waits were answered or lost with the engine that they were meant for.
        seen.take(event)
    return ended(run, seen, zone=zone)


def usage_id(key: str) -> str:
    """Return the id of the event that charges under ``key``: the journal takes it once."""
    return f"usage:{key}"


def usages(run: Run, reported: tuple[w.TurnEvent, ...]) -> list[e.UsageReported]:
    """Return the charges for all usage that a worker remembers, under the keys that it had."""
    seen = Gathered("")
    return [seen.usage(run, event) for event in reported if isinstance(event, w.UsageReported)]
