"""Machines in the shapes in which people write them: one for each way to build or to shape one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from transitions import Machine, State
from transitions.extensions import HierarchicalMachine, LockedMachine
from transitions.extensions.asyncio import AsyncMachine, HierarchicalAsyncMachine
from transitions.extensions.states import Retry, Tags, Timeout, Volatile, add_state_features

from goalfsm.diagram import Diagram, from_rows
from goalfsm.diagram.ours.machines import named

PLAIN: Final[dict[str, Any]] = {"model": None, "auto_transitions": False}


def matter() -> Machine:
    """Return a machine: states and transitions as texts and lists, a model with the callbacks."""

    class Matter:
        def is_hot(self) -> bool:
            return True

    rows: list[list[Any]] = [
        ["melt", "solid", "liquid", "is_hot"],
        ["evaporate", "liquid", "gas", ["is_hot"]],
        ["sublimate", "solid", "gas"],
        ["ionize", "gas", "plasma"],
    ]
    states = ["solid", "liquid", "gas", "plasma"]
    return Machine(Matter(), states=states, transitions=rows, initial="solid")


def turnstile() -> Machine:
    """Return a machine: several rows of one trigger, tried in their order."""
    machine = Machine(**PLAIN, states=["locked", "open", "broken"], initial="locked")
    machine.add_transition("coin", "locked", "open", conditions="is_valid", after="thank")
    machine.add_transition("coin", "locked", None, after="give_back")
    machine.add_transition("push", "open", "locked")
    machine.add_transition("push", "locked", "broken", prepare="measure", conditions="is_strong")
    machine.add_transition("push", "locked", "=", before="ring", after=["ring", "log"])
    return machine


class Light(Enum):
    """Colours of a traffic light."""

    RED = auto()
    RED_AMBER = auto()
    GREEN = auto()
    AMBER = auto()


def traffic_light() -> Machine:
    """Return a machine: an enum, in a circle."""
    machine = Machine(**PLAIN, states=Light, initial=Light.RED)
    machine.add_ordered_transitions(trigger="next")
    machine.add_transition("fault", "*", Light.AMBER)
    return machine


def workflow() -> Machine:
    """Return a machine: a long chain with ways back, and one way out of everywhere."""
    steps = ["draft", "submitted", "in review", "approved", "scheduled", "published", "archived"]
    machine = Machine(**PLAIN, states=[*steps, State("rejected", final=True)], initial="draft")
    for trigger, source, dest in zip(
        ("submit", "assign", "approve", "schedule", "publish", "archive"),
        steps,
        steps[1:],
        strict=False,
    ):
        machine.add_transition(trigger, source, dest)
    machine.add_transition("revise", ["submitted", "in review", "approved"], "draft")
    machine.add_transition("reject", "*", "rejected")
    return machine


@add_state_features(Tags, Timeout)
class Monitored(Machine):  # type: ignore[misc]
    """A machine whose states have tags and timeouts."""


def job() -> Machine:
    """Return a machine: tags, timeouts, callbacks of states, descriptions."""
    states: list[Any] = [
        {"name": "queued", "tags": "waiting", "timeout": 300, "on_timeout": "expire"},
        {"name": "running", "tags": ["busy", "costly"], "on_enter": "start", "on_exit": "stop"},
        {"name": "done", "final": True},
        {"name": "failed", "final": True, "on_enter": ["alarm", "keep_logs"]},
    ]
    machine = Monitored(**PLAIN, states=states, initial="queued")
    machine.add_transition("pick", "queued", "running")
    machine.add_transition("finish", "running", "done", unless=["is_dirty", "is_late"])
    machine.add_transition("fail", ["queued", "running"], "failed")
    return machine


@add_state_features(Retry, Volatile)
class Retrying(Machine):  # type: ignore[misc]
    """A machine whose states retry."""


def download() -> Machine:
    """Return a machine: features of states that a drawing knows nothing of."""
    states: list[Any] = [
        "idle",
        {"name": "loading", "retries": 3, "on_failure": "give_up"},
        {"name": "open", "volatile": dict, "hook": "session"},
    ]
    machine = Retrying(**PLAIN, states=states, initial="idle")
    machine.add_transition("load", "idle", "loading")
    machine.add_transition("again", "loading", "=")
    machine.add_transition("use", "loading", "open")
    return machine


def phone() -> HierarchicalMachine:
    """Return a machine: edges into and out of a composite, and one of all its states."""
    ringing = {"name": "ringing", "initial": "low", "children": ["low", "high"]}
    machine = HierarchicalMachine(**PLAIN, states=["idle", ringing, "talking"], initial="idle")
    machine.add_transition("call", "idle", "ringing_low")
    machine.add_transition("louder", "ringing_low", "ringing_high")
    machine.add_transition("answer", "ringing", "talking")
    machine.add_transition("hang_up", ["ringing", "talking"], "idle")
    return machine


def player() -> HierarchicalMachine:
    """Return a machine: a composite with edges to its own child and back, three deep."""
    fast: dict[str, Any] = {"name": "fast", "initial": "2x", "children": ["2x", "4x"]}
    playing = {"name": "playing", "initial": "normal", "children": ["normal", fast]}
    machine = HierarchicalMachine(**PLAIN, states=["stopped", playing, "paused"], initial="stopped")
    machine.add_transition("play", ["stopped", "paused"], "playing")
    machine.add_transition("rewind", "playing", "playing_normal")
    machine.add_transition("skip", "playing_fast_2x", "playing_fast_4x")
    machine.add_transition("skip", "playing_fast_4x", "playing_fast")
    machine.add_transition("restart", "playing", "=")
    machine.add_transition("wind", "playing_normal", "playing_fast")
    machine.add_transition("stop", "playing", "stopped")
    machine.add_transition("pause", "playing", "paused")
    return machine


def oven() -> HierarchicalMachine:
    """Return a machine: parallel regions with states of their own."""
    door = {"name": "door", "initial": "shut", "children": ["shut", "ajar"]}
    heat = {"name": "heat", "initial": "off", "children": ["off", "on"]}
    states: list[Any] = ["unplugged", {"name": "plugged", "parallel": [door, heat]}]
    machine = HierarchicalMachine(**PLAIN, states=states, initial="unplugged")
    machine.add_transition("plug", "unplugged", "plugged")
    machine.add_transition("open", "plugged_door_shut", "plugged_door_ajar")
    machine.add_transition("close", "plugged_door_ajar", "plugged_door_shut")
    machine.add_transition("bake", "plugged_heat_off", "plugged_heat_on", conditions="door_is_shut")
    machine.add_transition("unplug", "plugged", "unplugged")
    return machine


def checkout() -> HierarchicalMachine:
    """Return one machine in another, with a way out of its end."""
    payment = HierarchicalMachine(**PLAIN, states=["asked", "held", "taken"], initial="asked")
    payment.add_transition("hold", "asked", "held")
    payment.add_transition("take", "held", "taken")
    states: list[Any] = [
        "basket",
        {"name": "paying", "children": payment, "remap": {"taken": "paid"}},
        "paid",
    ]
    machine = HierarchicalMachine(**PLAIN, states=states, initial="basket")
    machine.add_transition("check_out", "basket", "paying")
    machine.add_transition("cancel", "paying", "basket")
    return machine


class Parcel:
    """Two machines drive one model."""

    def __init__(self) -> None:
        self.payment = Machine(
            self,
            name="Payment",
            states=["unpaid", "paid", "refunded"],
            initial="unpaid",
            model_attribute="pay_state",
            auto_transitions=False,
        )
        self.payment.add_transition("pay", "unpaid", "paid")
        self.payment.add_transition("refund", "paid", "refunded")
        self.delivery = Machine(
            self,
            states=["packed", "sent", "paid"],
            initial="packed",
            model_attribute="way",
            auto_transitions=False,
        )
        self.delivery.add_transition("send", "packed", "sent")
        self.delivery.add_transition("settle", "sent", "paid")


def hub() -> Machine:
    """Return a machine: sixty states around one."""
    leaves = [f"room {number}" for number in range(60)]
    machine = Machine(**PLAIN, states=["lobby", *leaves], initial="lobby")
    for leaf in leaves:
        machine.add_transition(f"enter {leaf}", "lobby", leaf)
        machine.add_transition("leave", leaf, "lobby")
    return machine


def menu() -> Machine:
    """Return a machine: twenty-four states around one, each with a way back of its own."""
    leaves = [f"dish_{number}" for number in range(24)]
    machine = Machine(**PLAIN, states=["menu", *leaves, "bill"], initial="menu")
    for leaf in leaves:
        machine.add_transition(f"order_{leaf}", "menu", leaf, conditions="kitchen_is_open")
        machine.add_transition(f"return_{leaf}", leaf, "menu")
    machine.add_transition("ask", "menu", "bill")
    machine.add_transition("forgot", "bill", "dish_3")
    return machine


def ladder() -> Machine:
    """Return a machine: every state leads to every other."""
    machine = Machine(**PLAIN, states=list("abcde"), initial="a")
    for source in "abcde":
        for dest in "abcde":
            machine.add_transition(f"{source}{dest}", source, dest)
    return machine


def connection() -> AsyncMachine:
    """Return an asynchronous machine as protocols have them."""
    names = ["CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT"]
    machine = AsyncMachine(**PLAIN, states=names, initial="CLOSED")
    for trigger, source, dest in (
        ("passive_open", "CLOSED", "LISTEN"),
        ("active_open", "CLOSED", "SYN_SENT"),
        ("syn", "LISTEN", "SYN_RCVD"),
        ("syn_ack", "SYN_SENT", "ESTABLISHED"),
        ("ack", "SYN_RCVD", "ESTABLISHED"),
        ("close", "ESTABLISHED", "FIN_WAIT"),
        ("fin", "FIN_WAIT", "TIME_WAIT"),
        ("timeout", "TIME_WAIT", "CLOSED"),
        ("rst", ["SYN_RCVD", "SYN_SENT", "ESTABLISHED"], "CLOSED"),
    ):
        machine.add_transition(trigger, source, dest)
    return machine


def robot() -> HierarchicalAsyncMachine:
    """Return a nested asynchronous machine with callables that have no name of their own."""
    moving = {"name": "moving", "initial": "slow", "children": ["slow", "fast"]}
    machine = HierarchicalAsyncMachine(**PLAIN, states=["still", moving], initial="still")
    machine.add_transition("go", "still", "moving", conditions=[lambda: True, bool])
    machine.add_transition("hurry", "moving_slow", "moving_fast")
    machine.add_transition("halt", "moving", "still", after=[print])
    return machine


def vault() -> LockedMachine:
    """Return a locked machine, with words that formats know as their own."""
    states = ["end", "direction LR", "note left of", "state", "subgraph", "[[fork]]"]
    machine = LockedMachine(**PLAIN, states=states, initial="end")
    for source, dest in pairwise(states):
        machine.add_transition("class", source, dest, conditions="direction TB")
    return machine


def dicts() -> Diagram:
    """Return a diagram of plain rows, without any machine."""
    rows: list[dict[str, Any]] = [
        {"trigger": "start", "source": "new", "dest": "open", "before": "check"},
        {"trigger": "stop", "source": ["new", "open"], "dest": "closed", "unless": "busy"},
        {"trigger": "touch", "source": "*", "dest": "="},
    ]
    return from_rows(rows, title="Rows", finals=["closed"], notes={"new": "nothing is done yet"})


def long_texts() -> Machine:
    """Return a machine: names and conditions as long as sentences."""
    states = ["waiting for the other side to answer", "the_answer_has_arrived_but_is_not_checked"]
    machine = Machine(**PLAIN, states=states, initial=states[0])
    conditions = [f"the_condition_with_number_{number}_holds" for number in range(6)]
    machine.add_transition("an_answer_arrives", *states, conditions=conditions, after=conditions)
    machine.add_transition("it_is_forgotten_again", states[1], states[0])
    return machine


def lonely() -> Machine:
    """Return a machine: states without any transition."""
    return Machine(**PLAIN, states=[f"state {number}" for number in range(9)], initial="state 0")


def everything() -> Machine:
    """Return a machine with the library's own triggers to every state."""
    machine = Machine(model=None, states=["on", "off"], initial="off")
    machine.add_transition("toggle", "on", "off")
    machine.add_transition("toggle", "off", "on")
    return machine


def parcel() -> Any:
    """Return both machines of a parcel as they are found by name."""
    return named("tests.diagram.shapes:Parcel")


SHAPES: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType(
    {
        made.__name__: made
        for made in (
            matter,
            turnstile,
            traffic_light,
            workflow,
            job,
            download,
            phone,
            player,
            oven,
            checkout,
            parcel,
            hub,
            menu,
            ladder,
            connection,
            robot,
            vault,
            dicts,
            long_texts,
            lonely,
            everything,
        )
    }
)
