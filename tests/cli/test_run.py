"""`goalfsm run` as people use it: real processes, workers of a few lines of sh.

A worker has the person at the second terminal do something too: that happens at a known moment of
its turn, so that nothing here waits for a time to pass.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from goalfsm.cli import exits
from goalfsm.session import codec
from tests.cli.processes import goal, goalfsm, terminal
from tests.cli.workers import BLOCKED, COMPLETE, ENGINE, prompt, turns, worker


def test_a_database_that_a_kill_left_empty_is_filled() -> None:
    Path("killed.db").touch(0o600)
    assert goalfsm("status", "--db", "killed.db").err.split("\n")[0].endswith("is still empty")
    assert goalfsm("run", "begin", "--db", "killed.db", "--", worker(COMPLETE)).status == exits.OK


def test_a_goal_completes() -> None:
    program = worker("[ $GOALFSM_TURN -lt 3 ] && echo more || " + COMPLETE)
    result = goalfsm("run", "do it in three turns", "--", program)
    assert result.status == exits.OK, result
    assert turns() == [1, 2, 3]
    assert goal()["status"] == "complete"
    assert goal()["continuations"] == 3
    assert "do it in three turns" in prompt(1)
    for said in ("turn 1 starts", "turn 3 finished", "the model claims complete", "complete ·"):
        assert said in result.out


def test_a_complete_goal_is_not_driven_again() -> None:
    program = worker(COMPLETE)
    assert goalfsm("run", "do it", "--", program).status == exits.OK
    again = goalfsm("run")
    assert again.status == exits.OK
    assert "complete" in again.out
    assert turns() == [1]


def test_json_lines_tell_every_event_and_no_secret() -> None:
    program = worker('echo "$GOALFSM_RUN_TOKEN" > token.txt', "echo working", COMPLETE)
    result = goalfsm("run", "do it", "--json", "--", program)
    rows = [json.loads(row) for row in result.out.splitlines()]
    assert {row["type"] for row in rows} >= {"event", "status", "output", "settled"}
    assert rows[-1]["status"]["goal"]["status"] == "complete"
    kinds = [row["event"]["type"] for row in rows if row["type"] == "event"]
    assert kinds[0] == "ObjectiveGiven"
    assert kinds.index("RunDispatched") < kinds.index("RunFinished")
    assert Path("token.txt").read_text().strip() not in result.out
    assert result.err == ""


def test_claims_of_a_blocker_in_consecutive_turns_block() -> None:
    result = goalfsm("run", "do it", "--", worker(BLOCKED))
    assert result.status == exits.GOAL_BLOCKED, result
    assert turns() == [1, 2, 3]
    assert "no key" in result.out


def test_the_policy_says_how_many_claims_block() -> None:
    result = goalfsm("run", "do it", "--policy", "blocked_after=1", "--", worker(BLOCKED))
    assert result.status == exits.GOAL_BLOCKED, result
    assert turns() == [1]


def test_a_blocked_goal_is_taken_up_again() -> None:
    program = worker(f"[ -f key ] && {COMPLETE} || {BLOCKED}")
    assert goalfsm("run", "do it", "--", program).status == exits.GOAL_BLOCKED
    Path("key").touch()
    assert goalfsm("run").status == exits.OK
    assert turns() == [1, 2, 3, 4]


def test_the_token_budget_ends_in_one_turn_that_winds_down() -> None:
    usage = '{"type": "usage", "input_tokens": 900, "output_tokens": 100}'
    program = worker(f"echo {shlex.quote(usage)}", """echo '{"type": "text", "text": "on"}'""")
    result = goalfsm("run", "do it", "--tokens", "1500", "--", program)
    assert result.status == exits.GOAL_LIMITED, result
    assert turns() == [1, 2, 3]
    found = goal()
    assert (found["status"], found["limited_by"]) == ("budgetLimited", "tokens")
    assert found["tokens_used"] == 3_000
    assert "goalfsm budget" in result.out


def test_a_limited_goal_says_what_raises_it_and_goes_on_after_that() -> None:
    program = worker(f"[ $GOALFSM_TURN -lt 4 ] && echo $GOALFSM_TURN || {COMPLETE}")
    first = goalfsm("run", "do it", "--max-continuations", "2", "--", program)
    assert first.status == exits.GOAL_LIMITED, first
    again = goalfsm("run")
    assert again.status == exits.GOAL_LIMITED
    assert "Hint: goalfsm budget --max-continuations N" in again.out
    assert goalfsm("budget", "--max-continuations", "9").status == exits.OK
    assert goalfsm("run").status == exits.OK


def test_the_time_budget_stops_a_goal() -> None:
    result = goalfsm(
        "run", "do it", "--time", "1s", "--", worker("echo $GOALFSM_TURN", "sleep 1.1")
    )
    assert result.status == exits.GOAL_LIMITED, result
    assert goal()["limited_by"] == "time"


def test_a_goal_that_gets_nowhere_is_paused() -> None:
    result = goalfsm("run", "do it", "--", worker())
    assert result.status == exits.ATTENTION, result
    assert goal()["pause_reason"] == "no_progress"
    assert turns() == [1, 2, 3]


def test_a_used_up_quota_exits_as_a_limit() -> None:
    error = json.dumps(
        {
            "type": "error",
            "message": "You exceeded your current quota",
            "status": 429,
            "code": "insufficient_quota",
        }
    )
    result = goalfsm("run", "do it", "--", worker(f"echo {shlex.quote(error)}"))
    assert result.status == exits.GOAL_LIMITED, result
    assert goal()["pause_reason"] == "usage_limit"


def test_a_quota_with_a_known_reset_exits_too_and_the_next_run_tries_at_once() -> None:
    """Nobody holds a terminal for hours; whoever asks again has a reason to."""
    error = '{"type": "error", "message": "You have hit your usage limit", "retry_after": 9000}'
    program = worker(f"[ $GOALFSM_TURN -ge 2 ] && {COMPLETE} || echo {shlex.quote(error)}")
    result = goalfsm("run", "do it", "--", program)
    assert result.status == exits.GOAL_LIMITED, result
    assert "→ stop: usage_limit (status), until" in result.out
    assert goal()["pause_reason"] == "usage_limit"
    result = goalfsm("run")
    assert result.status == exits.OK, result
    assert turns() == [1, 2]


def test_verifiers_decide_whether_complete_counts() -> None:
    program = worker("[ $GOALFSM_TURN -lt 2 ] || touch proof", "echo $GOALFSM_TURN", COMPLETE)
    result = goalfsm("run", "do it", "--verify", "test -f proof", "--", program)
    assert result.status == exits.OK, result
    assert turns() == [1, 2]
    assert "verifier 1 failed" in result.out
    assert "test -f proof" in prompt(2)


def test_every_criterion_needs_evidence() -> None:
    program = worker(
        "goalfsm tool update_goal --status complete --evidence one --criterion 1 2> refusal.txt",
        "echo $? > status.txt",
        "goalfsm tool update_goal --status complete"
        " --evidence one --criterion 1 --evidence two --criterion 2 >&2",
    )
    result = goalfsm("run", "do it", "--criterion", "first", "--criterion", "second", "--", program)
    assert result.status == exits.OK, result
    assert Path("status.txt").read_text() == "10\n"
    assert "no evidence for criterion 2" in Path("refusal.txt").read_text().lower()
    report = goalfsm("report").out
    assert "`two`" in report


def test_a_person_accepts() -> None:
    """The worker claims; the person accepts while the same turn goes on."""
    program = worker(COMPLETE, "./person accept >&2")
    assert goalfsm("run", "do it", "--accept", "--", program).status == exits.OK


def test_the_prompt_can_be_an_argument() -> None:
    Path("args.sh").write_text(f'#!/bin/sh\necho "$2" > prompt.txt\n{COMPLETE}\n')
    Path("args.sh").chmod(0o755)
    result = goalfsm("run", "do it by argument", "--prompt-arg", "--", "./args.sh", "first")
    assert result.status == exits.OK, result
    assert "do it by argument" in Path("prompt.txt").read_text()


def test_a_banner_before_json_lines_does_not_hide_their_usage() -> None:
    usage = '{"type":"usage","input_tokens":15000.0,"output_tokens":"5"}'
    program = worker("echo Welcome", f"echo '{usage}'", "[ -t 0 ] || read rest; :", COMPLETE)
    given = ("--output", "lines", "--stdin", "close")
    result = goalfsm("run", "do it", *given, "--", program)
    assert result.status == exits.OK, result
    assert goal()["tokens_used"] == 15_005
    refused = goalfsm("run", "do it", "--agent", "codex", "--output", "lines")
    assert "--output is for programs" in refused.err


def test_only_named_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANTED", "1")
    monkeypatch.setenv("UNWANTED", "1")
    program = worker("env > env.txt", COMPLETE)
    assert goalfsm("run", "do it", "--env", "WANTED", "--", program).status == exits.OK
    names = {row.partition("=")[0] for row in Path("env.txt").read_text().splitlines()}
    assert "WANTED" in names
    assert "UNWANTED" not in names


def test_a_turn_that_takes_too_long_is_ended_and_tried_again() -> None:
    program = worker(f"[ -f tried ] && {COMPLETE} || {{ touch tried; exec sleep 60; }}")
    result = goalfsm(
        "run",
        "do it",
        "--turn-timeout",
        "4s",
        "--policy",
        "retry_initial_s=0.1",
        "--policy",
        "retry_jitter=0",
        "--",
        program,
    )
    assert result.status == exits.OK, result
    assert turns() == [1, 1]
    assert "turn 1 timed out" in result.out
    assert "turn 1 starts again" in result.out


def test_the_log_and_the_run_call_a_turn_by_the_same_name() -> None:
    program = worker("[ $GOALFSM_TURN -lt 2 ] && echo more || { echo x >&2; kill -9 $$; }")
    policy = ("--policy", "retry_initial_s=0.1", "--policy", "crash_retries=1")
    shown = goalfsm("run", "do it", *policy, "--", program).out
    logged = goalfsm("log").out
    for said in ("turn 1 starts", "turn 1 finished", "turn 2 starts", "turn 2 failed"):
        assert said in shown
        assert said in logged
    assert "run " not in logged.replace("goalfsm run ", "")
    assert logged.count("turn 2 starts") == 2


def test_text_of_a_worker_appears_before_its_line_has_an_end() -> None:
    program = worker("printf 'half a line'", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with terminal("run", "do it", "--", program) as started:
        assert started.process.stdout is not None
        read = ""
        while "half a line" not in read:
            read += started.process.stdout.read(1)
        Path("go").touch()
        assert started.end().status == exits.OK


def test_a_budget_that_its_worker_never_uses_is_told_in_the_run_and_in_the_status() -> None:
    """Once, after the first turn, not in each."""
    program = worker(f"[ $GOALFSM_TURN -lt 3 ] && echo $GOALFSM_TURN || {COMPLETE}")
    shown = goalfsm("run", "do it", "--tokens", "5k", "--cost", "3", "--", program).out
    assert shown.count("the worker reports no use of tokens and cost: that budget never ends") == 1
    rows = shown.splitlines()
    (at,) = (n for n, row in enumerate(rows) if "reports no use" in row)
    assert any("turn 1 finished" in row for row in rows[:at])
    assert not any("turn 3 starts" in row for row in rows[:at])
    status = goalfsm("status").out
    for name in ("tokens", "cost"):
        assert f"of {name} can never be used up" in status
    assert "no use" not in goalfsm("run", "more", "--max-continuations", "5", "--", program).out


def test_a_log_for_machines_goes_to_stderr() -> None:
    result = goalfsm("run", "do it", "--log-json", "--", worker(COMPLETE))
    rows = [json.loads(row) for row in result.err.splitlines() if row.startswith("{")]
    started = next(row for row in rows if row["event"] == "run started")
    assert started["turn"] == 1
    assert all(started[name] for name in ("thread_id", "goal_id", "run_id"))


def test_a_run_on_the_thread_of_its_own_turn_is_refused() -> None:
    """It would wait for the end of the very turn that waits for it."""
    program = worker(
        "goalfsm run again -- true > nested.txt 2>&1; echo $? >> nested.txt",
        COMPLETE,
    )
    assert goalfsm("run", "do it", "--", program).status == exits.OK
    said = Path("nested.txt").read_text()
    assert "cannot wait for its own end" in said
    assert said.endswith(f"{exits.USAGE}\n")


def test_a_persons_run_answers_what_a_start_has_to_be_asked_about() -> None:
    program = worker(f"[ $GOALFSM_TURN -ne 1 ] || kill -9 {ENGINE}", COMPLETE)
    asking = ("run", "do it", "--policy", "on_start=ask", "--", program)
    assert goalfsm(*asking).status == -signal.SIGKILL
    again = goalfsm("run")
    assert again.status == exits.OK, again
    assert turns() == [1, 2]


def test_what_a_goal_waits_for_is_named_at_once() -> None:
    """Also where it waited already when this run began, and nothing happens meanwhile."""
    program = worker(f"goalfsm tool wait --for event; kill -9 {ENGINE}")
    goalfsm("run", "do it", "--", program)
    with terminal("run") as waiting:
        assert "goalfsm wake" in waiting.until("this waits for you: ")
        assert goalfsm("complete").status == exits.OK
        assert waiting.end().status == exits.OK


def test_a_run_whose_goal_was_replaced_says_so() -> None:
    program = worker(COMPLETE)
    replacing = worker("while ! [ -f replaced ]; do sleep 0.05; done", name="waits.sh")
    with terminal("run", "the old one", "--", replacing) as old:
        old.until("turn 1 starts")
        assert goalfsm("set", "the new one", "--replace", "--", program).status == exits.OK
        Path("replaced").touch()
        ended = old.end()
    assert ended.status == exits.ATTENTION, ended
    assert "was replaced by another: the new one" in ended.out


def test_the_time_after_a_kill_is_charged_to_nobody() -> None:
    """A minute without an engine, told by taking all times of the database back by that much."""
    minute_ms = 60_000
    there = ("--db", "goals.db")
    killed = goalfsm(
        "run", "do it", "--time", "30s", *there, "--", worker(f"kill -9 {ENGINE}", "sleep 30")
    )
    assert killed.status == -signal.SIGKILL, killed
    with contextlib.closing(apsw.Connection("goals.db")) as db, db:
        ((state,),) = db.execute("SELECT state FROM session").fetchall()
        session = codec.decode(state)
        begun_ms = session.clock.last_ms
        assert begun_ms is not None
        clock = replace(session.clock, last_ms=begun_ms - minute_ms)
        db.execute("UPDATE session SET state = ?", (codec.encode(replace(session, clock=clock)),))
        back = "UPDATE owner SET uptime_ms = uptime_ms - :ms, seen_ms = seen_ms - :ms"
        db.execute(back, {"ms": minute_ms})
    edited = goalfsm("edit", "do it well", *there)
    assert edited.status == exits.OK, edited
    found = json.loads(goalfsm("status", "--json", *there).out)["goal"]
    assert found["status"] == "active"
    assert found["active_seconds"] < 30
