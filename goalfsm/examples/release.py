"""A worker that is an ordinary program: one turn does one step of this project's release check.

It calls no model, so it reports no usage. Which step is next follows from what is on the disk,
never from what an earlier turn meant to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from goalfsm.examples.release_steps import STEPS, Step, StepError, Workspace


def main() -> int:
    """Do one step, or claim that the goal is complete when all are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="the checkout to release")
    parser.add_argument("--work", type=Path, required=True, help="where everything is put")
    given = parser.parse_args()
    sys.stdin.read()  # The prompt: every turn of this worker knows what to do from the disk.
    space = Workspace(given.source.resolve(), given.work.resolve())
    space.work.mkdir(parents=True, exist_ok=True)
    step = next((step for step in STEPS if space.record(step.name) is None), None)
    return claim(space) if step is None else turn(space, step)


def turn(space: Workspace, step: Step) -> int:
    """Do one step and say so; a failure is the turn's error."""
    who = {"step": step.name, "run": os.environ.get("GOALFSM_RUN_ID", ""), "pid": os.getpid()}
    space.note(event="started", turn=os.environ.get("GOALFSM_TURN", ""), **who)
    try:
        facts = step.do(space)
    except StepError as error:
        space.note(event="failed", **who)
        report(type="tool_end", name=step.name, ok=False)
        report(type="text", text=f"{step.name} failed: {error}")
        return 0
    space.finish(step.name, facts)
    space.note(event="finished", **who)
    report(type="tool_end", name=step.name, ok=True)
    report(type="text", text=f"done: {step.criterion}")
    return 0


def claim(space: Workspace) -> int:
    """Claim that the goal is complete, with evidence for each criterion."""
    words = ["goalfsm", "tool", "update_goal", "--status", "complete"]
    for number, step in enumerate(STEPS, 1):
        shown = json.dumps(space.record(step.name), sort_keys=True)
        words += ["--evidence", f"{step.name}: {shown[:1000]}", "--criterion", str(number)]
    answer = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603
    report(type="tool_end", name="update_goal", ok=answer.returncode == 0)
    said = (answer.stdout + answer.stderr).strip().partition("\n")[0]
    report(type="text", text=said or "claimed")
    return 0


def report(**event: Any) -> None:
    """Write one line of the worker protocol."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
