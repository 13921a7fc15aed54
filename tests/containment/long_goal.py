"""One goal through two days: 40 turns of a release, with everything that comes between.

The story is written as data: what each turn says, uses, costs and takes. `telling` tells what the
engine made of it; the tests hold its accounts against a reckoning of their own.
"""

from __future__ import annotations

import contextlib
from typing import Final

from goalfsm.goal.model import Goal, Limits, Verifier
from goalfsm.session.state import Claim
from goalfsm.testing import (
    GoalClock,
    MemoryGoals,
    ScriptedWorker,
    claims_complete,
    does,
    fails,
    says,
    takes,
    takes_steering,
    uses,
    uses_tool,
    waits,
)
from goalfsm.testing.turns import Step
from goalfsm.workers.protocol import ToolCalled, UsageReported, Work

THREAD: Final = "release"
START: Final = "2026-03-13 08:00"
OBJECTIVE: Final = "Release version 2.0 of the parser"
CRITERIA: Final = (
    "All tests pass on Python 3.11 to 3.13",
    "The changelog names every change since 1.9",
    "The wheel installs into an empty environment",
    "Version 2.0 is tagged",
)
CHECK: Final = "release check"
TURNS: Final = 40
TOKENS: Final = 400_000
MORE_TOKENS: Final = 700_000
BUILD: Final = 4711
TOOLS: Final = ("read", "edit", "shell")
DOCS_MISSING: Final = "the documentation is not built: there is no docs/_build/html/index.html"

_EVIDENCE: Final = (
    "tox: py311, py312, py313 passed, 1,284 tests each",
    "CHANGELOG.md: 31 entries for the 31 changes that git log shows since v1.9",
    "pip install dist/parser-2.0-py3-none-any.whl in a new venv; python -c 'import parser' exits 0",
    "git tag --verify v2.0: good signature, at 41c2e9d",
)


class Story(MemoryGoals):
    """The goals of this story, and the worker that does the release."""

    def __init__(self) -> None:
        """Begin on a Friday morning."""
        clock = GoalClock(START)
        self.docs_built = False
        super().__init__(clock, ScriptedWorker(clock), verifiers={CHECK: self._check})
        self.worker.can |= {"compact"}

    def _check(self, _goal: Goal, _claim: Claim) -> str | None:
        return None if self.docs_built else DOCS_MISSING

    def build_docs(self, _work: Work) -> None:
        """Do what the release check asks for."""
        self.docs_built = True

    def works(self, text: str, *more: Step, minutes: int = 8, tokens: int = 15_000) -> None:
        """Add a turn that uses its tools one after the other, and ends with ``more``."""
        each = minutes * 60 / (len(TOOLS) + 1)
        steps: list[Step] = [takes(each)]
        for tool in TOOLS:
            steps += [uses_tool(tool), takes(each)]
        self.worker.turn(*steps, usage(tokens), says(text), *more)

    def until_turn(self, number: int) -> None:
        """Let time pass until turn ``number`` has ended."""
        self.run_until(lambda: self._ended(number), within="3d")

    def _ended(self, number: int) -> bool:
        session = self.session(THREAD)
        turns = 0 if session.goal is None else session.goal.continuations
        return turns > number or (turns == number and session.run is None)


def usage(tokens: int) -> UsageReported:
    """Return the usage of a turn: a tenth of it is output, and the cache gave as much again."""
    output = tokens // 10
    return uses(input=tokens - output, output=output, cached=tokens, cost=tokens * 6)


def claims(*numbers: int) -> ToolCalled:
    """Return a claim of completion with evidence for the criteria with these numbers."""
    return claims_complete(*({"criterion": n, "text": _EVIDENCE[n - 1]} for n in numbers))


def tell() -> Story:
    """Play the two days; return the goals as they are at the end. Close them afterwards."""
    story = Story()
    with contextlib.ExitStack() as stack:
        stack.callback(story.close)
        for part in (morning, outage, overflow, quota, crash, budget, question, ending):
            part(story)
        happens(story)
        story.worker.check()
        story.clock.check()
        stack.pop_all()
    return story


# What the worker does.


def morning(story: Story) -> None:
    """Add turns 1 to 9: work, a message from a person, a build that is waited for."""
    for text in (
        "Read the code, the open issues and RELEASE.md.",
        "Listed the 31 changes since 1.9.",
        "Wrote the changelog entries 1 to 16.",
        "Wrote the changelog entries 17 to 31.",
        "Ran the tests on 3.11: three of them fail.",
    ):
        story.works(text)
    story.worker.turn(
        takes("2m"),
        uses_tool("read"),
        takes_steering(),
        takes("6m"),
        uses_tool("edit"),
        usage(15_000),
        says("Mended the first test; ParseError stays as an alias, as asked."),
    )
    story.works("Mended the second test.")
    story.works("Mended the third test: 3.11 passes.")
    build = waits("process", pid=BUILD, note="the build of all wheels")
    story.works("Started the build of all wheels.", build, minutes=4)


def outage(story: Story) -> None:
    """Add turns 10 to 14: the build has ended; from turn 12 on the provider is down until noon."""

    def goes_down(_: Work) -> None:
        story.worker.until("2026-03-13 12:00", fails("503 Service Unavailable", status=503))

    story.works("The wheels are built; the one for 3.13 does not import.")
    story.works("Found out why: it uses a module that 3.13 removed.", does(goes_down))
    story.works("Replaced the removed module.")
    story.works("Ran the tests on 3.12: they pass.")
    story.works("Ran the tests on 3.13: they pass.")


def overflow(story: Story) -> None:
    """Add turns 15 to 19: the context overflows and is compacted."""
    story.worker.turn(
        takes("1m"),
        uses_tool("read"),
        fails("prompt is too long: 204811 tokens > 200000 maximum"),
    )
    for text in (
        "Found the state of the work again in CHANGELOG.md and git log.",
        "Wrote the notes on migration.",
        "Went through the examples: all of them run.",
        "Renamed the old option in the documentation.",
    ):
        story.works(text, minutes=12)


def quota(story: Story) -> None:
    """Add turns 20 to 23: the quota is used up, and there again at 3 in the morning in Berlin."""
    story.worker.turn(
        takes("2m"),
        uses_tool("read"),
        usage(4_000),
        fails("You've hit your usage limit · resets 3am (Europe/Berlin)"),
    )
    story.works("Went on with the documentation of the API.")
    story.works("Described the new error classes.")
    story.works("Described the new options.")


def crash(story: Story) -> None:
    """Add turns 24 to 28: the machine dies in the first of them, which is begun again."""
    story.worker.turn(
        takes("3m"),
        uses_tool("edit"),
        usage(15_000),
        takes("5m"),
        uses_tool("shell"),
        says("Set the version to 2.0 and built the sdist."),
    )
    story.works("Compared the sdist with the repository: nothing is missing.")
    story.works("Built the final wheel.")
    story.works("Wrote the announcement.")


def budget(story: Story) -> None:
    """Add turns 29 to 31: the budget is used up; the work is wound down, and taken up again."""
    story.works("Checked every link in the announcement.", tokens=64_000)
    story.worker.turn(
        takes("3m"),
        usage(6_000),
        says("Where it stands: tests, changelog and wheel are done; tag and release are left."),
    )
    story.works("Looked at what is left: the tag, the installation, the claim.")


def question(story: Story) -> None:
    """Add turns 32 to 35: a question to a person, and a claim that leaves something out."""
    story.works("Before the tag: shall it be signed?", waits("person", note="sign the tag?"))
    story.works("Signed the tag v2.0.")
    story.works("The release is done.", claims(1, 2, 4))
    story.works("Installed the wheel into an empty environment.")


def ending(story: Story) -> None:
    """Add turns 36 to 40: a claim that the check refuses, and one that it passes."""
    story.works("Everything is shown now.", claims(1, 2, 3, 4))
    story.works("Built the documentation.", does(story.build_docs))
    story.works("Checked every link in the documentation.")
    story.works("Read the announcement once more.")
    story.works("Everything is shown, and the check should pass.", claims(1, 2, 3, 4))


# What happens besides.


def happens(story: Story) -> None:
    """Give the goal, and be the person, the build and the power cut."""
    story.give(
        THREAD,
        OBJECTIVE,
        tokens=TOKENS,
        criteria=CRITERIA,
        verifiers=[CHECK, Verifier(kind="person")],
    )
    story.until_turn(5)
    story.clock.advance("3m")
    story.steer(THREAD, "Keep ParseError as an alias: users catch it.")
    story.until_turn(9)
    story.clock.advance("50m")
    story.end_process(BUILD)
    story.until_turn(23)
    story.clock.advance("4m")
    story.restart("6m")
    story.until_turn(30)
    story.clock.advance_to("2026-03-14 08:30")
    story.budget(THREAD, Limits(tokens=MORE_TOKENS))
    story.until_turn(32)
    story.clock.advance("25m")
    story.steer(THREAD, "Yes, sign it with the release key.")
    story.until_turn(TURNS)
    story.clock.advance("1h 10m")
    story.accept(THREAD)
