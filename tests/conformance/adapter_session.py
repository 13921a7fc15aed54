"""Replays whole threads: vector steps become events, effects become what a step expects.

The adapter is a host without behaviour: it keeps the history and translates names and ids.
"""

from __future__ import annotations

from typing import Any

import msgspec

from goalfsm.goal import accounting
from goalfsm.goal.model import Limits, Usage
from goalfsm.session import Context, Policy, Session, effects, events
from goalfsm.session.effects import ClearEntry, Entry, SetEntry, UserStartEntry
from goalfsm.session.state import Host
from goalfsm.session.thread import handle
from goalfsm.views.status import status_line
from tests.conformance.adapter_pure import goal_in, goal_out

ABSENT: Any = object()
_WORK = {"wind_down": "budget_limit"}
"""Our name of a kind of work -> the vectors' name, where they differ."""


class Thread:
    """One thread under replay."""

    def __init__(self, line: dict[str, Any]) -> None:
        initial = line.get("initial", {})
        self.host = Host(
            idle=initial.get("idle", True),
            pending_messages=initial.get("pending_messages", False),
            context_window=line["context_window"],
        )
        self.session = Session(policy=Policy.reference(), host=self.host)
        self.history: list[Entry] = []
        self.aliases: dict[str, str] = {}
        self.shown: dict[str, Any] = {"goal": None, "status_line": None}
        self.created = 0

    def ids(self, kind: str) -> str:
        """Return a new id."""
        self.created += 1
        return f"{kind}-{self.created}"

    def alias(self, goal_id: str | None) -> str | None:
        """Return the vector's name of a goal of ours."""
        if goal_id is None:
            return None
        return self.aliases.setdefault(goal_id, f"G{len(self.aliases) + 1}")

    def real(self, alias: str) -> str:
        """Return our id of the goal that a vector names."""
        for goal_id, known in self.aliases.items():
            if known == alias:
                return goal_id
        self.aliases[f"never-{alias}"] = alias
        return f"never-{alias}"

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """Run one step and return what came of it, in the words of the vectors."""
        ctx = Context(now_ms=step["now_ms"], ids=self.ids)
        seen: dict[str, Any] = {}
        event = self.event(step)
        if step["op"] == "restart":
            fresh = Host(context_window=self.session.host.context_window)
            self.session = Session(policy=Policy.reference(), host=fresh)
        if event is not None:
            done = handle(self.session, event, ctx)
            self.session = done.session
            for effect in done.effects:
                self.note(effect, seen)
            if step["op"] == "input":
                seen["handled"] = done.reply is not None and done.reply.code == "handled"
            if step["op"] == "tool":
                assert done.reply is not None
                seen["ok"] = done.reply.ok
        return seen | self.changes(step)

    def changes(self, step: dict[str, Any]) -> dict[str, Any]:
        """Return the goal and the status line where they differ from what was shown last."""
        goal = accounting.live(self.session.goal, self.session.clock, step["now_ms"])
        names = ("status", "tokens_used", "active_seconds", "token_budget")
        line = status_line(self.session)
        now = {
            "goal": None if goal is None else {name: getattr(goal, name) for name in names},
            "status_line": None
            if line is None
            else {"label": line.label} | ({"reason": line.reason} if line.reason else {}),
        }
        changed = {name: value for name, value in now.items() if value != self.shown[name]}
        self.shown = now
        return changed

    def note(self, effect: effects.Effect, seen: dict[str, Any]) -> None:
        """Write an effect down."""
        match effect:
            case effects.AppendEntry(entry=entry):
                self.history.append(entry)
                seen.setdefault("entries", []).append(self.entry_out(entry))
            case effects.SendWork():
                seen.setdefault("sent", []).append(
                    {
                        "kind": _WORK.get(effect.kind, effect.kind),
                        "goal": self.alias(effect.goal_id),
                        "deliver_as": effect.deliver_as,
                        "trigger_turn": effect.trigger_turn,
                    }
                )
            case effects.AbortRun():
                seen["aborts"] = seen.get("aborts", 0) + 1
            case _:
                raise AssertionError(f"the reference has no {effect}")

    def entry_out(self, entry: Entry) -> dict[str, Any]:
        """Return a history entry as the vectors write it."""
        match entry:
            case SetEntry(source=source, goal=goal):
                shown = goal_out(goal)
                assert shown is not None
                return {
                    "kind": "set",
                    "source": source,
                    "goal": shown | {"goal_id": self.alias(goal.goal_id)},
                }
            case ClearEntry(source=source, cleared=cleared):
                return {"kind": "clear", "source": source, "cleared": self.alias(cleared)}
            case UserStartEntry(active=active):
                return {"kind": "user_start_required", "active": active}

    def entry_in(self, data: dict[str, Any]) -> Entry:
        """Return the history entry that a vector describes."""
        match data["kind"]:
            case "set":
                goal = goal_in(data["goal"] | {"goal_id": self.real(data["goal"]["goal_id"])})
                assert goal is not None
                return SetEntry(source=data["source"], goal=goal)
            case "clear":
                cleared = data["cleared"] and self.real(data["cleared"])
                return ClearEntry(source=data["source"], cleared=cleared)
            case _:
                return UserStartEntry(active=data["active"])

    def work(self, data: dict[str, Any] | None) -> events.GoalWork | None:
        """Return the metadata of queued goal work."""
        return None if data is None else events.GoalWork(data["kind"], self.real(data["goal"]))

    def message(self, data: dict[str, Any]) -> events.Message:
        """Return a message of a run."""
        used = data.get("usage") or {}
        return events.Message(
            role=data["role"],
            stop_reason=data.get("stop_reason"),
            usage=Usage(
                input_tokens=used.get("input", 0),
                output_tokens=used.get("output", 0),
                cached_tokens=used.get("cache_read", 0),
            ),
            error=data.get("error_message"),
            work=self.work(data.get("goal_work")),
        )

    def event(self, step: dict[str, Any]) -> events.Event | None:  # noqa: C901, PLR0911, PLR0912
        """Return the event of a step; None where only the host changes."""
        match step["op"]:
            case "command":
                return command(step["args"])
            case "tool":
                return events.ToolCalled(name=step["name"], arguments=step["params"])
            case "input":
                return events.InputReceived(
                    source=step["source"], work=self.work(step["goal_work"])
                )
            case "before_agent_start":
                return events.AgentStarting(work=self.work(step["goal_work"]))
            case "message_start":
                return events.MessageStarted(message=self.message(step["message"]))
            case "turn_start":
                return events.TurnStarted(turn_index=step["turn_index"])
            case "turn_end":
                message = self.message(step["message"])
                return events.TurnEnded(turn_index=step["turn_index"], message=message)
            case "context":
                return events.ContextRequested()
            case "tool_execution_end":
                return events.ToolFinished()
            case "agent_end":
                messages = tuple(self.message(data) for data in step["messages"])
                return events.AgentEnded(messages=messages)
            case "session_before_compact":
                return events.CompactionStarted()
            case "session_compact":
                return events.CompactionEnded()
            case "session_start" | "restart":
                return events.SessionStarted(reason=step["reason"], history=tuple(self.history))
            case "session_tree":
                return events.TreeChanged(history=tuple(self.history))
            case "session_shutdown":
                return events.ShutdownStarted()
            case "host":
                fields = ("idle", "pending_messages", "context_window")
                return msgspec.convert(
                    {"type": "HostChanged"} | {n: step[n] for n in fields if n in step},
                    events.HostChanged,
                )
            case "branch_replaced":
                self.history = [self.entry_in(data) for data in step["entries"]]
                return None
            case "advance":
                return None
            case op:
                raise AssertionError(f"unknown op {op}")


def command(args: str) -> events.Event:
    """Return the event of a person's goal command; replacing is confirmed."""
    match args:
        case "pause":
            return events.PauseRequested()
        case "resume":
            return events.ResumeRequested()
        case "clear":
            return events.ClearRequested()
        case objective:
            return events.ObjectiveGiven(objective=objective, limits=Limits(), replace=True)


def replay(line: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return what every step gave and what it should have given."""
    thread = Thread(line)
    got: list[Any] = []
    wanted: list[Any] = []
    for step in line["steps"]:
        seen = thread.step(step)
        if "expect" not in step:
            continue
        expected = dict(step["expect"])
        if step["op"] == "restart":  # nothing is said of the line at a restart
            seen.pop("status_line", None)
            expected.pop("status_line", None)
        got.append(seen)
        wanted.append(expected)
    return got, wanted
