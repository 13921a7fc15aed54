"""The sieve: texts that are no provider's error, however many of its words they contain.

Tools print tracebacks, logs, tests, source and prose, and all of these speak of rate limits and
timeouts. What tells them apart is how they are written: as programs and people write, or as
services answer. So a text is taken apart into its words and marks, one by one and in pairs, and
each of these weighs for or against. The weights are learned from labelled texts and stand in
``weights.tsv``, in tenths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType
from typing import Final

FALSE_POSITIVE: Final = "false_positive"
"""The row that is named where the sieve decided."""
BIAS: Final = "<bias>"
THRESHOLD: Final = 6
"""How much must weigh for a false positive: even odds are 0."""
_OTHERS: Final = re.compile(
    r"when calling the (?!Invoke|Converse|Retrieve|CountTokens|ApplyGuard)\w{1,60} operation"
)
"""An operation of a service that is no model's."""
_PROGRAM: Final = re.compile(r"(?:Key|Value|Attribute|Type|Index|Name|Assertion)Error\b")
"""Python's own words for a fault of the program: even odds are enough against them."""
_HEAD: Final = 1_600
_TAIL: Final = 400
_MOST_TOKENS: Final = 250
_FEWEST: Final = 3
_TOLD: Final = 3
_TOKEN: Final = re.compile(
    r"(?P<url>https?://\S{1,2000})"
    r"|(?P<file>[\w./\\-]{1,200}\.(?:py|pyi|js|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|rb|php|cc?|cpp"
    r"|hp*|cs|swift|sh|sql|md|rst|txt|csv|json|ya?ml|toml|ini|cfg|conf|lock|log|html|css)\b"
    r"(?:[:(]\d+)?)"
    r"|(?P<snake>[A-Za-z]\w{0,60}_\w{1,60})"
    r"|(?P<error>[A-Z]\w{0,60}(?:Error|Exception)\b)"
    r"|(?P<camel>(?:[A-Z][a-z0-9]{1,30}){2,8}\b|[a-z]{1,30}[A-Z]\w{0,60})"
    r"|(?P<word>[^\W\d_]{1,60}(?:'[a-z]{1,2})?)"
    r"|(?P<status>[45]\d\d)(?!\d)|(?P<number>\d{1,40})"
    r"|(?P<indent>\n[^\S\n]{1,200})|(?P<line>\n)|(?P<mark>[^\w\s])"
)
_VERBATIM: Final = frozenset({"word", "mark"})


def features(text: str) -> tuple[str, ...]:
    """Return what ``text`` is made of, each once: its tokens, and neighbours joined by a space.

    What differs in every text is folded: an address, a file, a number, a name of code. The start,
    the end and the lines are marks like others, so that a pair can be ``? <end>`` or ``<line> -``.
    Of a long text, the first 1,600 characters and the last 400 are looked at, and 250 tokens.
    """
    plain = text.strip()
    if len(plain) > _HEAD + _TAIL:
        plain = f"{plain[:_HEAD]}\n{plain[-_TAIL:]}"
    tokens = ["<start>"]
    for match in _TOKEN.finditer(plain):
        kind = match.lastgroup or ""
        tokens.append(match[0].lower() if kind in _VERBATIM else f"<{kind}>")
        if len(tokens) > _MOST_TOKENS:
            break
    tokens.append("<end>")
    return tuple(dict.fromkeys((*tokens, *map(" ".join, pairwise(tokens)))))


def sift(text: str) -> str | None:
    """Return what shows that ``text`` is no provider's error, or None where it may be one.

    Of one word or two nobody can tell.
    """
    other = _OTHERS.search(text)
    if other is not None:
        return other[0]
    enough = 0 if _PROGRAM.match(text) else THRESHOLD
    weights = _weights()
    named = features(text)
    found = {name: weights[name] for name in named if name in weights}
    alone = sum(" " not in name for name in named) - 2
    if alone < _FEWEST or weights[BIAS] + sum(found.values()) <= enough:
        return None
    heaviest = sorted(found, key=lambda name: -found[name])[:_TOLD]
    return " … ".join(heaviest)


@cache
def _weights() -> Mapping[str, int]:
    """Return how much each feature weighs for a false positive (positive) or against one."""
    lines = files(__package__).joinpath("weights.tsv").read_text("utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return MappingProxyType({name: int(weight) for weight, name in pairs})
