"""How a text is written: whether a provider wrote it, and what kind of failure its words mean.

Tools print tracebacks, logs, tests, source and prose, and all of these speak of rate limits and
timeouts. And no two services phrase a failure alike, but all use the same few words. So a text is
taken apart into its words and marks, one by one and in pairs, and each of these weighs for or
against a false positive and for or against each kind. The weights are learned from labelled texts
and stand in ``weights.tsv``, in tenths of a logit: a column for false positives, then one a kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from recovery.failures.kinds import Kind

FALSE_POSITIVE: Final = "false_positive"
"""The row that is named where the sieve decided."""
KINDS: Final[tuple[Kind, ...]] = (
    *("overflow", "transient", "rate_limited", "quota", "auth", "invalid_request"),
    "content_refused",
)
"""The kinds that are weighed, in the order of their columns."""
BIAS: Final = "<bias>"
_EVEN: Final = 0
_DOUBTFUL: Final = -6
"""How much must weigh for a false positive; less where only its words say what a text means."""
_LEAST: Final = -15
"""How much must weigh for a kind, and for it more than for any other."""
_LEAST_ALONE: Final = 0
"""How much a single word must weigh: ``error`` or ``bad`` by itself means no kind."""
_OTHERS: Final = re.compile(
    r"when calling the (?!Invoke|Converse|Retrieve|CountTokens|ApplyGuard)\w{1,60} operation"
)
"""An operation of a service that is no model's."""
_ELSEWHERE: Final = re.compile(r"\s{0,9}(?:@@ -\d|\$ \S|ssh: )")
"""How a change of a file, a command at a prompt and a login elsewhere begin."""
_HEAD: Final = 1_600
_TAIL: Final = 400
_MOST_TOKENS: Final = 250
_FEWEST: Final = 3
_TOLD: Final = 3
_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(
    r"(?P<url>https?://\S{1,2000})"
    r"|(?P<file>[\w./\\-]{1,200}\.(?:py|pyi|js|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|rb|php|cc?|cpp"
    r"|hp*|cs|swift|sh|sql|md|rst|txt|csv|json|ya?ml|toml|ini|cfg|conf|lock|log|html|css)\b"
    r"(?:[:(]\d+)?)"
    r"|(?P<snake>[A-Za-z]\w{0,60}_\w{1,60})"
    r"|(?P<error>[A-Z]\w{0,60}(?:Error|Exception)\b)"
    r"|(?P<camel>(?:[A-Z][a-z0-9]{1,30}){2,8}\b|[a-z]{1,30}[A-Z]\w{0,60})"
    rf"|(?P<sign>[{_CJK}])|(?P<word>[^\W\d_{_CJK}]{{1,60}}(?:'[a-z]{{1,2}})?)"
    r"|(?P<status>[45]\d\d)(?!\d)|(?P<number>\d{1,40})"
    r"|(?P<indent>\n[^\S\n]{1,200})|(?P<line>\n)|(?P<mark>[^\w\s])"
)
_VERBATIM: Final = frozenset({"word", "sign", "mark"})


def features(text: str) -> tuple[str, ...]:
    """Return what ``text`` is made of, each once: its tokens, and neighbours joined by a space.

    What differs in every text is folded: an address, a file, a number, a name of code. The start,
    the end and the lines are marks like others, so that a pair can be ``? <end>`` or ``<line> -``.
    Of a script without spaces, each sign is a token. Of a long text, the first 1,600 characters
    and the last 400 are looked at, and 250 tokens.
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


def sift(text: str, *, doubtful: bool = False) -> str | None:
    """Return what shows that ``text`` is no provider's error, or None where it may be one.

    Of one word or two nobody can tell. ``doubtful`` is a text of which nothing but its words says
    that it is a failure.
    """
    if (other := begins_elsewhere(text) or _operation(text)) is not None:
        return other
    named = features(text)
    weight = _weighed(named)[0]
    if _words(named) < _FEWEST or weight <= (_DOUBTFUL if doubtful else _EVEN):
        return None
    return _heaviest(named, 0)


def begins_elsewhere(text: str) -> str | None:
    """Return how ``text`` begins where no provider's error begins so, None of any other."""
    begun = _ELSEWHERE.match(text)
    return None if begun is None else begun[0].strip()


def _operation(text: str) -> str | None:
    other = _OTHERS.search(text)
    return None if other is None else other[0]


@lru_cache(maxsize=16)
def meaning(text: str) -> tuple[Kind, str] | None:
    """Return the kind for which the words of ``text`` weigh most, and the heaviest of them.

    None where they hardly weigh for any.
    """
    named = features(text)
    weights = _weighed(named)[1:]
    most = max(weights)
    if most <= (_LEAST if _words(named) > 1 else _LEAST_ALONE):
        return None
    place = weights.index(most)
    return KINDS[place], _heaviest(named, place + 1)


def _words(named: tuple[str, ...]) -> int:
    """Return how many tokens there are beside the start and the end."""
    return sum(" " not in name for name in named) - 2


def _weighed(named: tuple[str, ...]) -> tuple[int, ...]:
    """Return the sum of each column over ``named``."""
    weights = _weights()
    rows = [weights[BIAS], *(weights[name] for name in named if name in weights)]
    return tuple(map(sum, zip(*rows, strict=True)))


def _heaviest(named: tuple[str, ...], column: int) -> str:
    """Return the names that weigh most in ``column``."""
    weights = _weights()
    found = {name: weights[name][column] for name in named if name in weights}
    return " … ".join(sorted(found, key=lambda name: -found[name])[:_TOLD])


@cache
def _weights() -> Mapping[str, tuple[int, ...]]:
    """Return how much each feature weighs, a number a column."""
    lines = files(__package__).joinpath("weights.tsv").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return MappingProxyType({name: tuple(map(int, weights)) for *weights, name in rows})
