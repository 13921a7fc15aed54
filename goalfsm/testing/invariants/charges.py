"""What is charged, to whom, and what the ledger says of it."""

from __future__ import annotations

from typing import Final

from goalfsm.goal.accounting import counted, tokens_of
from goalfsm.goal.model import MAX_COUNT
from goalfsm.session import events as e
from goalfsm.testing.invariants.invariant import Chapter, Transition, hold

CHARGES: Final = Chapter()


@CHARGES.says("All that is reported is booked once: charged or not, and why not.")
def _ledger_adds_up(t: Transition) -> None:
    before, after = t.before.ledger, t.after.ledger
    weight = t.before.policy.cached_weight
    uncharged = sum(after.uncharged.values()) - sum(before.uncharged.values())
    charged = after.charged_tokens - before.charged_tokens
    hold(charged >= 0 and uncharged >= 0, "a sum fell")
    hold(after.charged_cost >= before.charged_cost, "the charged cost fell")
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cost"):
        hold(getattr(after.reported, name) >= getattr(before.reported, name), f"{name} fell")
    if isinstance(t.event, e.UsageReported) and after is not before:
        used = tokens_of(counted(t.event.usage), weight)
        hold(charged + uncharged == used, "booked more or less")
    if weight == 0:
        reported = tokens_of(after.reported) - tokens_of(before.reported)
        hold(reported == charged + uncharged, f"{reported} != {charged} + {uncharged}")
    hold(after.charged_cost <= after.reported.cost, "more cost was charged than reported")


@CHARGES.says("What the ledger calls charged is on the goal, and nothing else is.")
def _charges_reach_the_goal(t: Transition) -> None:
    ledger = t.after.ledger
    tokens = ledger.charged_tokens - t.before.ledger.charged_tokens
    cost = ledger.charged_cost - t.before.ledger.charged_cost
    if t.same_goal is None:
        hold(not tokens and not cost, "charged to a goal that is not there")
        return
    before, after = t.same_goal
    hold(after.tokens_used == min(MAX_COUNT, before.tokens_used + tokens), "tokens differ")
    hold(after.cost_used == min(MAX_COUNT, before.cost_used + cost), "cost differs")


@CHARGES.says("A run of another goal, or one that is over, charges, pauses and completes nothing.")
def _strangers_charge_nothing(t: Transition) -> None:
    # Dispatching counts when the worker is started, so what is aborted before counts for nobody.
    token = getattr(t.event, "run_token", None)
    run = t.before.run
    if token is not None and (run is None or run.token != token or run.ending is not None):
        hold(t.after.goal == t.before.goal, "an old run changed the goal")
        hold(t.step.reply is not None and not t.step.reply.ok, "an old run was not refused")
    if isinstance(t.event, e.UsageReported) and run is not None and t.before.goal is not None:
        mine = run.goal_id == t.before.goal.goal_id
        hold(mine or t.after.goal == t.before.goal, "a successor was charged")
    if isinstance(t.event, e.TurnEnded | e.AgentEnded):
        turn = t.before.host.turn_goal
        other = turn is not None and t.same_goal is not None and turn != t.same_goal[0].goal_id
        if other and t.same_goal is not None:
            used = t.same_goal[1].tokens_used - t.same_goal[0].tokens_used
            hold(not used, f"a successor was charged {used} tokens of the turn before it")


@CHARGES.says(
    "The owed end of an aborted turn is not taken for the end of the work that came after."
)
def _skipped_ends_change_nothing(t: Transition) -> None:
    if not isinstance(t.event, e.TurnEnded | e.AgentEnded):
        return
    state = t.before.stale
    owed = getattr(state, "cleanup", None)
    if owed is not None and t.after.stale != state and t.same_goal is not None:
        hold(t.same_goal[0] == t.same_goal[1], "it changed the goal")
        hold(not t.step.effects, f"it asked for {t.step.effects}")
