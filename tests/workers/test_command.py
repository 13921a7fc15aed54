"""Programs as workers: what they are given, and what they answer in text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from goalfsm.workers.protocol import Exited, Spawned
from tests.workers.reading import Python, answer, ending


def test_a_program_reads_its_prompt_to_the_end_and_answers_in_text(bench: Any) -> None:
    events = bench.turn(["cat"], prompt="line one\nline two\n")
    assert isinstance(events[0], Spawned)
    assert answer(events) == "line one\nline two\n"
    assert ending(events) == Exited(ok=True, status=0)


def test_a_shell_script_without_any_protocol_is_a_worker(bench: Any) -> None:
    script = 'prompt=$(cat); echo "turn $GOALFSM_TURN of $GOALFSM_THREAD: $prompt"'
    events = bench.turn(["sh", "-c", script], prompt="hello", turn=3)
    assert answer(events) == "turn 3 of thread: hello\n"


def test_the_environment_names_the_run(bench: Any) -> None:
    named = {"run_id": "r9", "run_token": "t9", "objective": "a\0b", "thread_id": "main"}
    events = bench.turn(["env"], prompt="", **named)
    told = dict(line.split("=", 1) for line in answer(events).splitlines() if "=" in line)
    assert told["GOALFSM_DB"] == bench.db
    assert told["GOALFSM_THREAD"] == "main"
    assert (told["GOALFSM_RUN_ID"], told["GOALFSM_RUN_TOKEN"]) == ("r9", "t9")
    assert told["GOALFSM_OBJECTIVE"] == "a\N{REPLACEMENT CHARACTER}b"


def test_it_runs_where_it_is_told_and_otherwise_here(bench: Any, tmp_path: Path) -> None:
    assert answer(bench.turn(["pwd", "-P"], spec={"cwd": str(tmp_path)})).strip() == str(
        tmp_path.resolve()
    )
    assert answer(bench.turn(["pwd", "-P"])).strip() == str(Path.cwd().resolve())


def test_the_prompt_can_be_the_last_argument(bench: Any) -> None:
    events = bench.turn(
        ["sh", "-c", 'printf "%s" "$1"', "sh"], prompt="a 'b' $c", spec={"prompt_arg": True}
    )
    assert answer(events) == "a 'b' $c"


def test_an_argument_prompt_without_lines_gives_an_empty_stdin(bench: Any) -> None:
    """A program that reads stdin to its end does not hang."""
    spec = {"prompt_arg": True, "stdin": "close"}
    assert answer(bench.turn(["sh", "-c", "cat; echo done"], spec=spec)) == "done\n"


def test_stdin_ends_when_the_answer_turns_out_to_be_text(bench: Any) -> None:
    spec = {"prompt_arg": True}
    assert answer(bench.turn(["sh", "-c", "echo one; cat; echo two"], spec=spec)) == "one\ntwo\n"


def test_a_prompt_that_nobody_reads_is_no_error(bench: Any) -> None:
    events = bench.turn(["true"], prompt="x" * 1_000_000)
    assert ending(events).ok


def test_a_prompt_larger_than_a_pipe_arrives_whole(bench: Any) -> None:
    events = bench.turn(["wc", "-c"], prompt="é" * 500_000)
    assert answer(events).strip() == "1000000"


def test_descriptors_of_the_daemon_do_not_leak_into_workers(bench: Any, python: Python) -> None:
    source = "import os\nprint(sorted(os.listdir('/dev/fd')))"
    with Path(__file__).open("rb") as held:
        os.set_inheritable(held.fileno(), True)  # noqa: FBT003
        told = answer(bench.turn(python(source)))
    # The fourth is the directory that is being listed.
    assert told.strip() == "['0', '1', '2', '3']"


def test_signals_have_their_usual_meaning_in_a_worker(bench: Any, python: Python) -> None:
    """What the supervisor ignores for itself is not ignored by what it starts."""
    source = (
        "import signal\n"
        "for name in 'SIGINT SIGTERM SIGHUP SIGQUIT SIGCHLD SIGUSR2'.split():\n"
        "    print(name, signal.getsignal(getattr(signal, name)) is signal.SIG_IGN)\n"
    )
    assert "True" not in answer(bench.turn(python(source)))
