"""A verifier says yes, no, or nothing that counts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goalfsm.workers.isolating import Isolation
from goalfsm.workers.sealing import seal
from goalfsm.workers.supervisor import isolation
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.verifier import VerifierResult, run_verifier

Python = Callable[[str], list[str]]


def verify(bench: Any, argv: list[str], **given: Any) -> VerifierResult:
    async def main(supervisor: Supervisor) -> VerifierResult:
        result = await run_verifier(argv, supervisor=supervisor, **given)
        assert supervisor.runs == frozenset()
        return result

    return bench.run(main)  # type: ignore[no-any-return]


def test_status_0_passes(bench: Any) -> None:
    result = verify(bench, ["sh", "-c", "echo out; echo err >&2"])
    assert (result.status, result.exit_code, result.reason) == ("passed", 0, "")
    assert result.output_tail == "out\nerr"
    assert result.duration_s >= 0


def test_another_status_fails(bench: Any) -> None:
    result = verify(bench, ["sh", "-c", "echo 3 tests failed; exit 3"])
    assert (result.status, result.exit_code) == ("failed", 3)
    assert result.output_tail == "3 tests failed"
    assert result.reason == "exit status 3"


def test_a_missing_program_says_nothing_about_the_claim(bench: Any) -> None:
    result = verify(bench, ["no-such-verifier"])
    assert (result.status, result.exit_code) == ("unverifiable", None)
    assert "no such program: no-such-verifier" in result.reason
    assert "Hint" in result.reason


def test_a_missing_directory_says_nothing_about_the_claim(bench: Any, tmp_path: Path) -> None:
    result = verify(bench, ["true"], cwd=str(tmp_path / "gone"))
    assert result.status == "unverifiable"
    assert str(tmp_path / "gone") in result.reason


def test_a_signal_says_nothing_about_the_claim(bench: Any) -> None:
    result = verify(bench, ["sh", "-c", "kill -KILL $$"])
    assert (result.status, result.exit_code) == ("unverifiable", None)
    assert result.reason == "ended by signal 9"


def test_a_timeout_says_nothing_and_leaves_nothing(
    bench: Any, python: Python, lifeline: Any
) -> None:
    source = (
        "import os, signal, time\n"
        f"line = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\nprint('busy', flush=True)\nos.write(line, b'up')\n"
        "while True: time.sleep(3600)\n"
    )
    result = verify(bench, python(source), timeout_s=3.0, grace_s=0.1)
    assert (result.status, result.reason) == ("unverifiable", "timed out after 3 s")
    assert "busy" in result.output_tail
    lifeline.wait_for(b"up")
    assert not lifeline.is_held()


def test_a_background_job_of_a_verifier_neither_delays_nor_outlives_it(bench: Any) -> None:
    result = verify(bench, ["sh", "-c", "sleep 3600 & echo done"], grace_s=0.1)
    assert (result.status, result.output_tail) == ("passed", "done")


def test_a_cancelled_verifier_is_ended(bench: Any, python: Python, lifeline: Any) -> None:
    source = (
        "import os, signal, time\n"
        f"line = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "os.write(line, b'up')\nwhile True: time.sleep(3600)\n"
    )

    async def main(supervisor: Supervisor) -> None:
        verifying = asyncio.create_task(run_verifier(python(source), supervisor=supervisor))
        await asyncio.to_thread(lifeline.wait_for, b"up")
        verifying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await verifying
        await asyncio.to_thread(lifeline.wait_end)

    bench.run(main)


def test_only_the_end_of_a_long_output_is_kept(bench: Any) -> None:
    script = "print('x' * 3_000_000); print('the end')"
    result = verify(bench, [sys.executable, "-c", script], keep=1000)
    assert result.output_tail.startswith("...x")
    assert result.output_tail.endswith("the end")
    assert len(result.output_tail) <= 1003


def test_it_gets_its_environment_and_an_empty_stdin(bench: Any, tmp_path: Path) -> None:
    result = verify(
        bench,
        ["sh", "-c", 'cat; echo "$COLOUR ${HOME-none}"; pwd -P; echo "$GOALFSM_RUN_ID"'],
        cwd=str(tmp_path),
        env={"COLOUR": "red", "PATH": "/usr/bin:/bin"},
        run_id="verify-7",
    )
    assert result.output_tail.splitlines() == ["red none", str(tmp_path.resolve()), "verify-7"]


def test_a_verifier_that_was_changed_since_it_was_sealed_is_not_run(
    bench: Any, tmp_path: Path
) -> None:
    check, ran = tmp_path / "check.sh", tmp_path / "ran"
    check.write_text("exit 1\n")
    argv = ["sh", str(check)]
    sealed = seal(argv)
    assert verify(bench, argv, sealed=sealed).status == "failed"
    check.write_text(f"touch {ran}\n")
    result = verify(bench, argv, sealed=sealed)
    assert result.status == "unverifiable"
    assert str(check) in result.reason
    assert not ran.exists()


@pytest.mark.skipif(isolation.is_possible() != "", reason="this machine allows no namespaces")
def test_an_isolated_one_sees_what_is_left_to_it(bench: Any, tmp_path: Path) -> None:
    goals, check = tmp_path / "goals", tmp_path / "check.sh"
    goals.mkdir()
    (goals / "g.db").write_text("secret")
    check.write_text("[ -e goals/g.db ] && exit 3; echo >> check.sh; kill -9 $$")
    seen = Isolation(hide=(str(goals),), readonly=(str(check),))
    result = verify(bench, ["sh", "check.sh"], cwd=str(tmp_path), isolation=seen)
    assert (result.status, result.exit_code) == ("failed", 137)
    assert "check.sh: Read-only file system" in result.output_tail
    missing = verify(bench, ["no-such-verifier"], isolation=seen)
    assert "no such program" in missing.reason
    here = verify(bench, ["true"], cwd=str(goals), isolation=seen)
    assert here.status == "unverifiable"
    assert "an isolated worker cannot work in" in here.reason
    nowhere = verify(bench, ["true"], isolation=Isolation(hide=(), readonly=("/no/such",)))
    assert nowhere.status == "unverifiable"
    assert nowhere.reason.startswith("cannot isolate the worker: No such file")
