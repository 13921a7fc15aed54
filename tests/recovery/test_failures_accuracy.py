"""The figures of how often failures are told apart, and the messages they are counted on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from recovery.failures.kinds import Kind
from tests.recovery.accuracy import messages, misses, sets, table, verdicts

PAGE = Path(__file__).parents[2] / "docs" / "failures.md"
MESSAGES = messages()


def test_the_page_shows_the_figures_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    assert f"```text\n{table()}\n```" in page
    assert f"\n\n{sets()}\n" in page


def test_the_messages_are_many_each_once_and_labelled_with_kinds() -> None:
    assert len({message.error for message in MESSAGES}) == len(MESSAGES)
    assert len({message.id for message in MESSAGES}) == len(MESSAGES)
    assert sum(message.blind for message in MESSAGES) >= 100
    kinds = set(get_args(Kind))
    assert all(message.kinds and set(message.kinds) <= kinds for message in MESSAGES)


def test_a_message_that_is_missed_is_named_with_what_it_was_taken_for() -> None:
    missed = {found.id: found for _, found in verdicts() if not found.right_kind}
    assert [line.partition(":")[0] for line in misses()] == list(missed)
    assert all(f" {missed[line.partition(':')[0]].kind} for " in line for line in misses())
