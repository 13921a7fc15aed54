"""Another program does the turns when little is left: with real programs, and through a crash."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goalfsm
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, ENGINE, turns, worker

USAGE = """echo '{"type":"usage","input_tokens":399,"output_tokens":1}'"""
SAID = """echo '{"type":"text","text":"'step $GOALFSM_TURN'"}'"""


def test_the_turns_that_begin_with_little_left_are_another_program_s_also_after_a_crash() -> None:
    """Turn 3 begins with 20 % of the tokens left, and its engine is killed in it."""
    thorough = worker(USAGE, SAID)
    cheap = worker(
        "goalfsm status --json > status-$GOALFSM_TURN.json",
        f"[ $GOALFSM_TURN -ne 3 ] || kill -9 {ENGINE}",
        COMPLETE,
        name="cheap.sh",
    )
    route = f"below 25% tokens: -- {cheap} fast"
    killed = goalfsm("run", "do it", "--tokens", "1000", "--route", route, "--", thorough)
    assert killed.status == -signal.SIGKILL, killed
    again = goalfsm("run")
    assert again.status == exits.OK, again
    assert turns() == [1, 2, 3, 4]
    why = "./cheap.sh fast: 20% of the tokens are left, below 25%"
    for turn in (3, 4):
        run = json.loads(Path(f"status-{turn}.json").read_text("utf-8"))["run"]
        assert (run["turn"], run["route"]) == (turn, why)
    log = goalfsm("log").out.splitlines()
    starts = [row.partition("RunDispatched")[2].strip() for row in log if "RunDispatched" in row]
    assert starts[:2] == ["turn 1 starts", "turn 2 starts"]
    assert all(row.startswith(f"turn {at} starts, by {why}") for at, row in
               zip((3, 4), starts[2:], strict=True))  # fmt: skip
    assert f"routed to {why}" in goalfsm("explain").out
    assert goalfsm("doctor").status == exits.OK


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("below 25% tokens: sh", "is no route"),
        ("below 25% cost: -- sh", "the goal has no budget of cost"),
        ("below 25% tokens: -- ./missing.sh", "missing.sh"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused_before_anything_is_written(
    cli: Cli, route: str, said: str
) -> None:
    found = cli("set", "do it", "--tokens", "9", "--route", route, "--", "true")
    assert found.status != exits.OK
    assert said in found.err
    assert "Hint" in found.err
    assert cli("status").status != exits.OK


def test_routes_are_a_setting_of_the_thread_and_can_be_ended(cli: Cli) -> None:
    route = "below 25% tokens: -- true"
    assert cli("set", "do it", "--tokens", "9", "--route", route, "--", "true").status == exits.OK
    assert f"routes={route}" in cli("policy").out
    assert cli("policy", "--set", "routes=").status == exits.OK
    assert f"routes={route}" not in cli("policy").out
    refused = cli("policy", "--set", "routes=cheap.sh")
    assert refused.status != exits.OK
    assert "is no route" in refused.err


def test_a_template_names_routes_and_its_programs_are_told_of(cli: Cli) -> None:
    folder = Path(".goalfsm/templates")
    folder.mkdir(parents=True)
    head = 'tokens = "1k"\nprogram = "true"\nroutes = ["below 25% tokens: -- true"]\n'
    text = f"+++\n{head}+++\nDo it.\n"
    (folder / "small.md").write_text(text, "utf-8")
    assert "below 25% tokens: -- true" in cli("set", "-t", "small").err
    assert "below 25% tokens: -- true" in cli("templates", "trust", "small").out
    assert cli("set", "-t", "small").status == exits.OK
    assert "routes=below 25% tokens: -- true" in cli("policy").out
