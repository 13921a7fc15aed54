"""The command that says what a failure is taken for."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import Cli


def test_a_text_is_explained(cli: Cli) -> None:
    result = cli("explain-error", "You've hit your limit · resets 3pm (Europe/Paris)")
    assert result.status == 0
    rows = dict(row.split(maxsplit=1) for row in result.out.splitlines())
    assert rows["kind"] == "quota"
    assert rows["found"] == "hit your limit"
    assert "resets" in rows
    assert "wait" not in rows  # it is another with each second
    told = cli("explain-error", "429 Too Many Requests. Please try again in 90s").out
    assert "wait        1m 30s\n" in told
    assert "resets" not in told


def test_what_no_provider_said_is_told_as_such(cli: Cli) -> None:
    said = cli("explain-error", "npm ERR! 429 Too Many Requests").out
    assert "said by     a tool" in said
    assert "false_positive: it is written as programs and people write" in said
    believed = cli("explain-error", "--source", "provider", "npm ERR! 429 Too Many Requests").out
    assert "kind        rate_limited" in believed
    unknown = cli("explain-error", "hm").out
    assert "said by" not in unknown
    assert "none: no rule recognises it" in unknown


def test_what_came_with_it_counts(cli: Cli) -> None:
    told = json.loads(cli("explain-error", "--json", "--status", "402", "hm").out)
    assert (told["kind"], told["why"]["row"]) == ("quota", "status_402")
    told = json.loads(cli("explain-error", "--json", "--code", "invalid_api_key", "hm").out)
    assert (told["kind"], told["source"]) == ("auth", "provider")


def test_standard_input_is_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"API Error: 529 Overloaded \xff\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert "kind        transient" in cli("explain-error", "-").out


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (None, "cannot read"),
        ("[[rule]]\nname = 'x'\nkind = 'auth'\ntext = '('", "text is no regular expression"),
        ("[[rule]]\nname = 'x'", "missing required field `kind`"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(cli: Cli, rules: str | None, words: str) -> None:
    if rules is not None:
        Path("rules.toml").write_text(rules, "utf-8")
    for command in (
        ("explain-error", "--rules", "rules.toml", "hm"),
        ("set", "--policy", "failure_rules=rules.toml", "Do it"),
    ):
        result = cli(*command)
        assert result.status != 0
        assert words in result.err
        assert "Hint:" in result.err


def test_rules_are_kept_with_the_thread(cli: Cli) -> None:
    Path("rules.toml").write_text("[[rule]]\nname='x'\nkind='auth'\ntext='no entry'", "utf-8")
    assert cli("set", "--policy", "failure_rules=rules.toml", "Do it").status == 0
    (given,) = (row for row in cli("log", "--json").out.splitlines() if "no entry" in row)
    assert "failure_rules" in given
    assert "failure_rules=1 rule  (default: none)\n" in cli("policy").out
    assert cli("policy", "--set", "failure_rules=").status == 0
