"""Tell an event in a line of words, for people who watch a run or read a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.daemon.flow import notices
from goalfsm.session import events
from goalfsm.session.continuation import money
from goalfsm.text import awaited, compact_tokens, duration, line, short, visible
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from goalfsm.goal.model import Limits
    from goalfsm.session.state import Decision
    from goalfsm.views.status import Status

_SHORT_ID: Final = 8
_EVENT: Final[Any] = events.Event
_HELD: Final = 4_000
"""Most characters of an unfinished line of output that are held back for its end."""


def event_of(data: dict[str, Any]) -> events.Event:
    """Return the event that a notice holds; what it was sent without stays empty."""
    event: events.Event = msgspec.convert(dict.fromkeys(notices.LEFT_OUT, "") | data, _EVENT)
    return event


def why(decision: Decision) -> str:
    """Return a decision in words, with the guard that made it where there was one."""
    until = "" if decision.until_ms is None else f", until {moment(decision.until_ms)}"
    return f"{decision.decision}: {short(decision.reason)}{by_guard(decision.guard)}{until}"


def by_guard(guard: str) -> str:
    """Return which guard decided, in brackets; "" where none was against going on."""
    return "" if guard == "otherwise" else f" ({guard})"


def _who(event: events.Expecting) -> str:
    """Return who asked; a person is one whom the receiver has looked at."""
    if event.origin == "model":
        return "the model"
    return "somebody unknown" if event.by is None else "a person"


def told(event: events.Event, turn: int = 0) -> str:  # noqa: C901, PLR0911, PLR0912, PLR0915  one case each
    """Return what happened; a run is called by its id, or by its ``turn`` where that is known."""
    match event:
        case events.ObjectiveGiven():
            asked = "the model" if event.origin == "model" else "goal"
            policy = f" [{_settings(event.policy)}]" if event.policy else ""
            return f"{asked}: {short(event.objective)}{limits_in_words(event.limits)}{policy}"
        case events.GoalQueued():
            return f"queued: {short(event.objective)}{limits_in_words(event.limits)}"
        case events.QueueMoved():
            return f"queue: {line(event.queue_id)} moved to place {event.place}"
        case events.QueueDropped():
            return f"queue: {line(event.queue_id)} taken out"
        case events.NextGoalRequested():
            by = "by itself" if event.origin == "system" else "asked for"
            return f"next goal of the queue, {by}"
        case events.GoalImported():
            return f"goal from {short(event.source)}: {short(event.objective)}"
        case events.PauseRequested():
            return f"pause asked for ({event.reason}){_because(event.note)}"
        case events.InterruptRequested():
            return f"turn interrupted by {_who(event)}{_because(event.text)}"
        case events.ResumeRequested():
            return "resume asked for"
        case events.ClearRequested():
            return "clear asked for"
        case events.EditRequested():
            return _edited(event)
        case events.BudgetChanged():
            lifted = "".join(f", no limit of {name}" for name in event.unlimited)
            return f"budget changed{limits_in_words(event.limits)}{lifted}"
        case events.PolicyChanged():
            return f"policy changed: {_settings(event.changes)}"
        case events.CompletionRequested():
            return f"declared complete by the {event.origin}"
        case events.BlockRequested():
            return f"declared blocked by the {event.origin}{_because(event.reason)}"
        case events.ClaimAccepted():
            return f"claim accepted by {_who(event)}"
        case events.ClaimRejected():
            return f"claim rejected by {_who(event)}{_because(event.feedback)}"
        case events.SteeringReceived():
            return f"steering: {short(event.text)}"
        case events.SteeringDropped():
            return "message taken back"
        case events.WakeRequested():
            return f"woken{_because(event.note)}"
        case events.TriggerFired():
            return f"trigger fired: {line(event.trigger)}"
        case events.ToolCalled():
            return _tool(event)
        case events.InputReceived():
            return f"input from {event.source}"
        case events.AgentStarting():
            return "agent starting"
        case events.TurnStarted():
            return f"model call {event.turn_index} started"
        case events.MessageStarted():
            return f"message from {event.message.role}"
        case events.ContextRequested():
            return "context requested"
        case events.ToolFinished():
            return f"tool {line(event.name) or 'call'} {'finished' if event.ok else 'failed'}"
        case events.TurnEnded():
            return f"model call {event.turn_index} ended{_ending(event.message)}"
        case events.AgentEnded():
            return "agent ended"
        case events.CompactionStarted():
            return "compaction started"
        case events.CompactionEnded():
            return "context compacted" if event.ok else "the context could not be compacted"
        case events.SessionStarted():
            return f"session started ({event.reason})"
        case events.TreeChanged():
            return "moved to another branch of the history"
        case events.ShutdownStarted():
            return "the engine is shutting down"
        case events.HostChanged():
            return _host(event)
        case events.EngineStarted():
            return "the engine started" + (" after a crash" if event.after_crash else "")
        case events.EngineLost():
            return f"the engine is gone, last seen {moment(event.seen_ms)}"
        case events.RulesChanged():
            return "a new version of the rules decides from here on"
        case events.RunDispatched():
            last = ", to wind the work down" if event.wind_down else ""
            by = "" if event.route is None else f", by {short(event.route.text)}"
            return f"{_run(event.run_id, turn or event.turn)} starts{last}{by}"
        case events.RunFinished():
            return f"{_run(event.run_id, event.turn or turn)} {_outcome(event)}"
        case events.RunInterrupted():
            return f"{_run(event.run_id, event.turn or turn)} interrupted{_because(event.detail)}"
        case events.WindDownDelivered():
            return f"{_run(event.run_id, turn)} was told to wind down"
        case events.ClockAdjusted():
            return f"the clock was set by {event.by_ms / 1000:+.1f} s"
        case events.DecisionFailed():
            return f"{line(event.kind)} could not be decided{_because(event.error)}"
        case events.SessionSaved():
            return f"the worker {'forgot' if event.data is None else 'saved'} its session"
        case events.UsageReported():
            return _usage(event)
        case events.WaitDeclared():
            until = "" if event.until_ms is None else f" until {moment(event.until_ms)}"
            on = awaited(event.kind, event.pid)
            return f"the work waits on {on}{until}{_because(event.note)}"
        case events.ProcessEnded():
            return f"process {event.pid} ended"
        case events.TimerFired():
            return "timer fired"
        case events.UntilChecked():
            return f"--until {event.outcome}{_because(event.detail)}"
        case events.VerificationFinished():
            return f"verifier {event.index + 1} {event.outcome}{_because(event.detail)}"
        case events.SteeringAcknowledged():
            return "steering taken into the turn"


def is_quiet(event: events.Event) -> bool:
    """Tell whether an event is bookkeeping that nobody watches a run for."""
    match event:
        case (
            events.InputReceived()
            | events.AgentStarting()
            | events.TurnStarted()
            | events.MessageStarted()
            | events.ContextRequested()
            | events.AgentEnded()
            | events.CompactionStarted()
            | events.SessionStarted()
            | events.TreeChanged()
            | events.HostChanged()
            | events.RulesChanged()
            | events.TimerFired()
        ):
            return True
        case events.TurnEnded():
            return event.message.stop_reason != "error"
        case events.EngineStarted():
            return not event.after_crash
        case events.SessionSaved():
            return event.data is not None
        case _:
            return False


def _run(run_id: str, turn: int) -> str:
    return f"turn {turn}" if turn else f"run {line(run_id)[:_SHORT_ID]}"


def _because(text: str) -> str:
    return f": {short(text)}" if text else ""


def limits_in_words(limits: Limits) -> str:
    """Return the budgets of a goal in brackets; "" where it has none."""
    parts = []
    if limits.tokens is not None:
        parts.append(f"{compact_tokens(limits.tokens)} tokens")
    if limits.seconds is not None:
        parts.append(duration(limits.seconds))
    if limits.cost is not None:
        parts.append(f"cost {money(limits.cost)}")
    if limits.continuations is not None:
        turns = "turn" if limits.continuations == 1 else "turns"
        parts.append(f"{limits.continuations} {turns}" if limits.continuations else "any turns")
    return f" [{', '.join(parts)}]" if parts else ""


def _settings(settings: dict[str, events.Setting]) -> str:
    return short(", ".join(f"{name}={value}" for name, value in settings.items()))


def _edited(event: events.EditRequested) -> str:
    said = [] if event.objective is None else [f"objective reworded: {short(event.objective)}"]
    if event.criteria is not None:
        said.append(f"{len(event.criteria)} criteria")
    if event.verifiers is not None:
        said.append(f"{len(event.verifiers)} verifiers")
    if event.until is not None or event.no_until:
        named = "no command" if event.until is None else short(event.until.name)
        said.append(f"completed by {named}")
    if event.acceptance is not None:
        said.append("a person accepts" if event.acceptance else "no person has to accept")
    return ", ".join(said)


def _tool(event: events.ToolCalled) -> str:
    claimed = event.arguments.get("status")
    awaits = event.arguments.get("for")
    if event.name == "wait" and isinstance(awaits, str):
        return f"the model waits for {awaited(line(awaits))}"
    if event.name != "update_goal" or not isinstance(claimed, str):
        return f"the model called {line(event.name)}"
    reason = event.arguments.get("reason")
    return f"the model claims {line(claimed)}{_because(reason if isinstance(reason, str) else '')}"


def _ending(message: events.Message) -> str:
    if message.stop_reason == "error":
        status = f" {message.status}" if message.status is not None else ""
        died = f" ({message.died})" if message.died else ""
        return f" with an error{status}{died}{_because(message.error or '')}"
    return f" ({message.stop_reason})"


def _outcome(event: events.RunFinished) -> str:
    message, outcome = event.message, event.outcome.replace("_", " ")
    failed = message is not None and message.stop_reason == "error"
    return f"{outcome}{_ending(message)}" if message is not None and failed else outcome


def _host(event: events.HostChanged) -> str:
    parts = []
    if event.idle is not None:
        parts.append("idle" if event.idle else "busy")
    if event.pending_messages is not None:
        parts.append("messages pending" if event.pending_messages else "no messages pending")
    if event.context_window is not None:
        parts.append(f"context window {event.context_window:,}")
    return f"host: {', '.join(parts) or 'nothing new'}"


def _left_out(said: notices.Output) -> list[str]:
    """Return a line that says how much of what a turn has said is not told."""
    return [f"({said.left_out:,} bytes before this are left out)"] if said.left_out else []


def _usage(event: events.UsageReported) -> str:
    usage = event.usage
    text = f"used {usage.input_tokens:,} + {usage.output_tokens:,} tokens"
    if usage.cached_tokens:
        text += f" ({usage.cached_tokens:,} cached)"
    return text + (f", cost {money(usage.cost)}" if usage.cost else "")


class Narrator:
    """Turns notices into lines; knows which turn it is and which decision was told last."""

    def __init__(self) -> None:
        """Start before the first turn."""
        self._turn = 0
        self._starting: events.RunDispatched | None = None
        self._decision: Decision | None = None
        self._held = ""

    def lines(self, notice: notices.Notice) -> list[str]:
        """Return what there is to say of a notice, often nothing."""
        match notice:
            case notices.Happened():
                return self._happened(notice)
            case notices.StatusChanged() | notices.Settled():
                return self._place(notice.status)
            case notices.Output():
                return [*_left_out(notice), *self._output(notice.text)]
            case notices.Problem():
                hint = f" ({notice.hint})" if notice.hint else ""
                return [f"{visible(notice.message)}{hint}"]
            case notices.Missed():
                return [f"({notice.count} notices came too fast to be shown)"]
            case notices.Ended():
                return [*self._rest(), *([visible(notice.message)] if notice.message else [])]

    @property
    def unfinished(self) -> str:
        """Return the worker's last line, which has no end yet."""
        return self._held

    def _place(self, status: Status) -> list[str]:
        """Take note of the turn; only the status knows which one a run is an attempt at."""
        turn = self._turn
        if status.goal is not None:
            turn = status.goal.continuations if status.run is None else status.run.turn
        return self._begins(turn)

    def _begins(self, turn: int) -> list[str]:
        """Tell of the run that was dispatched last, which is an attempt at ``turn``."""
        before, self._turn = self._turn, turn
        started, self._starting = self._starting, None
        again = " again" if turn == before else ""
        return [] if started is None else [told(started, turn) + again]

    def _happened(self, notice: notices.Happened) -> list[str]:
        event = event_of(notice.event)
        lines: list[str] = []
        if isinstance(event, events.RunFinished | events.RunInterrupted):
            if self._starting is not None:
                # It began while nobody was told how the thread stands.
                lines += self._begins(event.turn or self._turn)
            lines += self._rest()
        gives = isinstance(event, events.ObjectiveGiven | events.NextGoalRequested)
        if gives and notice.reply and notice.reply.ok:
            self._turn = 0
        if isinstance(event, events.RunDispatched):
            self._starting = event
        elif not is_quiet(event):
            refused = notice.reply is not None and not notice.reply.ok
            suffix = f" (refused: {notice.reply.message})" if notice.reply and refused else ""
            lines.append(told(event, self._turn) + suffix)
        if notice.decision is not None and notice.decision.at_ms == notice.at_ms:
            lines += self._decided(notice.decision)
        return lines

    def _decided(self, decision: Decision) -> list[str]:
        before, self._decision = self._decision, decision
        same = before is not None and (before.guard, before.reason, before.until_ms) == (
            decision.guard,
            decision.reason,
            decision.until_ms,
        )
        quiet = decision.guard in {"queued", "host_busy"} or (
            same and decision.decision != "continue"
        )
        return [] if quiet else [f"→ {why(decision)}"]

    def _output(self, text: str) -> list[str]:
        """Return the whole lines of a worker's text; the rest is held back."""
        *whole, self._held = (self._held + visible(text)).split("\n")
        if len(self._held) > _HELD:
            whole.append(self._held)
            self._held = ""
        return [f"  | {row}" for row in whole]

    def _rest(self) -> list[str]:
        held, self._held = self._held, ""
        return [f"  | {held}"] if held else []
