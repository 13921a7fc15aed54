"""The walk through the table: from the evidence of an error to what it is, and why.

A rule is data (:class:`recovery.failures.kinds.Rule`); here it is compiled and asked. The first
rule that holds decides. What a text alone decided counts only where the text passes the sieve: a
log, a test run or prose is no provider's error (``wording``).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from recovery.failures.evidence import Evidence, Reading, gather, plain_text, read, signature
from recovery.failures.kinds import (
    NOTHING_HOLDS,
    RETRYABLE,
    Failure,
    Kind,
    Rule,
    Source,
    Why,
    Zones,
)
from recovery.failures.rules import RULES
from recovery.failures.texts import code, folded, unwrapped, without_ending
from recovery.failures.waits import Timing, timing
from recovery.failures.wording import FALSE_POSITIVE, begins_elsewhere, meaning, sift

_OWN: Final = frozenset(RULES)
_TIMED: Final[frozenset[Kind]] = RETRYABLE | {"quota"}
_LAST_MOMENT: Final = 253_402_300_799.0
_REACH: Final = 400
"""Characters in which all ideas of a sentence must begin."""
_MOST_BYTES: Final = 1024 * 1024
"""How large a file of rules may be."""
_MAX_WORDS: Final = 120
_MAX_ANSWER: Final = 2_000
_SHORT_ANSWER: Final = 300
_BEGINS: Final = 12
"""How far into a short answer that is nothing but an error the words that decide may begin."""
_UNSPECIFIC: Final = frozenset(rule.name for rule in RULES if rule.weighed)
_OPENING: Final = re.compile(
    r"\W{0,8}(?:(?:[\w-]{1,20} ){0,3}(?:api|stream|server|request|connection|execution|internal"
    r"|provider|network|http)[ _]?(?:error|failed|disconnected)\b|(?:[\w.]{1,60})?error\b(?=\W)"
    r"|(?:http(?:/\d(?:\.\d)?)? )?[45]\d\d\b|\{|\[\{|<(?:!doctype|html)\b"
    r"|sorry, (?:you|your|an error)\b"
    r"|you(?:'ve| have) (?:hit|reached|exceeded)\b|exceeded retry limit\b)",
    re.IGNORECASE,
)
"""How an answer begins that is nothing but an error."""
_SAYS_ERROR: Final = re.compile(
    r"""["'](?:\w*error\w*|\w*message|\w*msg|detail)["'] ?: ?["'{\[][^"'}\]]""", re.IGNORECASE
)
"""What JSON has that tells of an error: a field for it, with something in it."""
_ESCAPES: Final = re.compile(r"\\.|\(\?P?<\w+>|\(\?[a-zA-Z]+[:)]")
_STATED: Final = Why(row="stated", reason="the caller states the kind")
_SIFTED: Final = "it is written as programs and people write of errors, not as a provider tells one"
_SLIPPED: Final = Why(
    row=FALSE_POSITIVE, reason="Python's own class says that the program itself is at fault"
)
_NOT_ASKED: Final = Why(row="stated_source", reason="the caller says that no provider said it")


class _Compiled:
    """A rule, ready to be asked; an expression is compiled when it is asked for the first time.

    To compile all of the table takes a tenth of a second, and most failures need little of it.
    """

    def __init__(self, rule: Rule) -> None:
        """Take ``rule``; raise ValueError for one that says nothing."""
        if not (rule.text or rule.ideas or rule.codes or rule.statuses or rule.weighed):
            message = f"rule {rule.name!r} says nothing: give it text, ideas, codes or statuses"
            raise ValueError(message)
        self.rule = rule
        self.codes = frozenset(code(name) for name in rule.codes)
        self.statuses = frozenset(rule.statuses)
        self.unless_statuses = frozenset(rule.unless_statuses)

    def check(self) -> None:
        """Raise ValueError where an expression is none."""
        _ = self.text, self.also, self.unless, self.exceeds
        for place in range(len(self.rule.ideas)):
            self.idea(place)

    @cached_property
    def text(self) -> re.Pattern[str] | None:
        return _pattern(self.rule, "text", self.rule.text)

    @cached_property
    def also(self) -> re.Pattern[str] | None:
        return _pattern(self.rule, "also", self.rule.also)

    @cached_property
    def unless(self) -> re.Pattern[str] | None:
        return _pattern(self.rule, "unless", self.rule.unless)

    @cached_property
    def exceeds(self) -> re.Pattern[str] | None:
        exceeds = _pattern(self.rule, "exceeds", self.rule.exceeds)
        if exceeds is not None and not {"asked", "most"} <= exceeds.groupindex.keys():
            message = f"rule {self.rule.name!r}: exceeds names two numbers, "
            raise ValueError(message + "(?P<asked>…) and (?P<most>…)")
        return exceeds

    @cache  # noqa: B019 - a rule and what it is compiled to live as long as the process
    def idea(self, place: int) -> re.Pattern[str]:
        """Return the idea at ``place``, from the beginning of a word on."""
        found = _pattern(self.rule, "an idea", rf"\b(?:{self.rule.ideas[place]})")
        return found or re.compile("")

    def words(self, reading: Reading) -> str | None:
        """Return what of ``reading`` the rule holds for, or None where it does not hold."""
        text = reading.head if self.rule.common else reading.text
        found = self._trigger(reading, text)
        if found is None or reading.status in self.unless_statuses:
            return None
        if self.also is not None and self.also.search(text) is None:
            return None
        if self.exceeds is not None and not _exceeds(self.exceeds.search(reading.text)):
            return None
        if self.unless is not None and self.unless.search(reading.text) is not None:
            return None
        return found

    def _trigger(self, reading: Reading, text: str) -> str | None:
        found: list[str] = []
        if self.text is not None:
            match = self.text.search(text)
            if match is None:
                return None
            found.append(match[0])
        for place in range(len(self.rule.ideas)):
            match = self.idea(place).search(text)
            if match is None or match.start() > _REACH:
                return None
            found.append(match[0])
        if self.codes or self.statuses:
            named = self.codes & reading.codes
            if not named and reading.status not in self.statuses:
                return None
            found.append(min(named, default=f"HTTP status {reading.status}"))
        if self.rule.weighed:
            kind, words = meaning(reading.message) or (None, "")
            if kind != self.rule.kind:
                return None
            found.append(words)
        return " … ".join(found)[:_MAX_WORDS]


def _exceeds(numbers: re.Match[str] | None) -> bool:
    """Tell whether more was asked for than there ever is; an allowance of 0 is none at all."""
    if numbers is None:
        return False
    asked, most = (int(numbers[name].replace(",", "")) for name in ("asked", "most"))
    return asked > most > 0


def _pattern(rule: Rule, name: str, pattern: str) -> re.Pattern[str] | None:
    """Return a pattern of ``rule``, searched without regard to case in a text in lower case."""
    if not pattern:
        return None
    bare = _ESCAPES.sub("", pattern)
    try:
        return re.compile(pattern, 0 if bare == bare.lower() else re.IGNORECASE)
    except re.error as error:
        message = f"rule {rule.name!r}: {name} is no regular expression: {error}"
        raise ValueError(message) from error


@lru_cache(maxsize=1024)
def _compiled(rule: Rule) -> _Compiled:
    """Return ``rule`` ready to be asked; raise ValueError for one that can never decide."""
    compiled = _Compiled(rule)
    if rule not in _OWN:
        compiled.check()
    return compiled


class _Verdict(NamedTuple):
    """Which rule decides (its place in the table; beyond its end: none) and why."""

    place: int
    why: Why
    false_positive: bool = False


class Classifier:
    """A table of rules that calls failures by their kind; the first rule that holds decides.

    ``Classifier(rules=(*mine, *RULES))`` asks the rules of one's own first. Raise ValueError for a
    rule that says nothing or whose regular expression is none.
    """

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        """Compile ``rules``, in the order in which they decide."""
        self._table = tuple(_compiled(rule) for rule in rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules, in the order in which they decide."""
        return tuple(row.rule for row in self._table)

    def classify(  # noqa: PLR0913 - all but the error are optional, by name
        self,
        error: object,
        *,
        source: Source = "unknown",
        kind: Kind | None = None,
        status: object = None,
        code: object = None,
        headers: object = None,
        now: float | None = None,
        zones: Zones | None = None,
    ) -> Failure:
        """Return what kind of failure ``error`` is; see :func:`recovery.classify`."""
        pieces = _gathered(error, status=status, code_given=code, headers=headers)
        # Of a chain of exceptions, the most particular link speaks for all.
        verdict = min(
            (self._verdict(piece, source) for piece in pieces), key=lambda found: found.place
        )
        decided = verdict.place < len(self._table)
        if kind is not None and (not decided or self._is_sifted(verdict)):
            # Only a rule of one's own knows better than who states the kind.
            verdict, decided = _Verdict(verdict.place, _STATED), True
        else:
            kind = self._table[verdict.place].rule.kind if decided else "unknown"
        when = Timing()
        if kind in _TIMED:
            text = folded("\n".join(unwrapped(piece.text) for piece in pieces))
            told: dict[str, str] = {}
            for piece in reversed(pieces):
                told.update(piece.headers)
            when = timing(text, told, now=_moment(now), zones=zones)
        return Failure(
            kind=kind,
            retryable=kind in RETRYABLE,
            signature=signature(error, kind, pieces[0]),
            retry_after=when.retry_after,
            resets_at=when.resets_at,
            source=_source(source, decided=decided, false_positive=verdict.false_positive),
            why=verdict.why,
        )

    def only_error(
        self, answer: str, *, now: float | None = None, zones: Zones | None = None
    ) -> Failure | None:
        """Return the failure that ``answer`` consists of; see :func:`recovery.only_error`."""
        message = folded(unwrapped(plain_text(answer)))
        if not 0 < len(message) <= _MAX_ANSWER or message.strip().isdigit():
            return None  # a number alone is a result, whatever status it could be
        opens = _OPENING.match(message) is not None
        if not opens and len(message) > _SHORT_ANSWER:
            return None
        failure = self.classify(answer, now=now, zones=zones)
        if failure.kind == "unknown":
            return None
        if opens:
            # JSON may be what a model was asked for: words alone do not make an error of it.
            asked_for = message.startswith(("{", "[{")) and failure.why.row in _UNSPECIFIC
            return None if asked_for and _SAYS_ERROR.search(message) is None else failure
        place = message.lower().find(failure.why.words)
        begins = 0 <= place <= _BEGINS
        return failure if begins and failure.why.row not in _UNSPECIFIC else None

    def _verdict(self, evidence: Evidence, source: Source) -> _Verdict:
        """Return which rule decides of ``evidence``."""
        message = unwrapped(without_ending(evidence.text))
        if source == "tool":
            found = self._first(evidence, message, sifted=False)
            return found if found.place < len(self._table) else found._replace(why=_NOT_ASKED)
        found = self._first(evidence, message)
        decided = found.place < len(self._table)
        if source == "provider" or evidence.answered or (decided and not self._is_sifted(found)):
            return found
        if evidence.slip and read(evidence, message).status is None:
            # A wrapper may raise such a class too, but then its text has a server's status.
            return _Verdict(len(self._table), _SLIPPED, false_positive=True)
        if decided and evidence.plain and self._table[found.place].rule.weighed:
            # A program's own words for what went wrong in it: they resemble everybody's.
            return _Verdict(len(self._table), NOTHING_HOLDS)
        if decided:
            return self._sifted(evidence, message, found)
        # Nothing failed that is known; some texts still begin as none of a provider's does.
        shows = begins_elsewhere(message)
        return found if shows is None else _false_positive(len(self._table), shows)

    def _sifted(self, evidence: Evidence, message: str, found: _Verdict) -> _Verdict:
        """Return what a text comes to that says something only where a provider said it."""
        without = self._first(evidence, "")
        given = evidence.given_status is not None or evidence.given_codes
        if given and found.place == without.place:
            return found
        # The text decided: only now is it worth asking whether it is a provider's at all.
        shows = sift(message, by_words=self._table[found.place].rule.weighed)
        if shows is None:
            return found
        if without.place < len(self._table):
            return without
        return _false_positive(len(self._table), shows)

    def _is_sifted(self, found: _Verdict) -> bool:
        """Tell whether a rule decided that is not asked of texts that no provider said."""
        return found.place < len(self._table) and self._table[found.place].rule.sifted

    def _first(self, evidence: Evidence, message: str, *, sifted: bool = True) -> _Verdict:
        """Return the first rule that holds for the evidence with that message."""
        reading = read(evidence, message)
        for place, row in enumerate(self._table):
            if row.rule.sifted and not sifted:
                continue
            words = row.words(reading)
            if words is not None:
                return _Verdict(place, Why(row=row.rule.name, reason=row.rule.why, words=words))
        return _Verdict(len(self._table), NOTHING_HOLDS)


def _false_positive(place: int, shows: str) -> _Verdict:
    why = Why(row=FALSE_POSITIVE, reason=_SIFTED, words=shows)
    return _Verdict(place, why, false_positive=True)


def _source(source: Source, *, decided: bool, false_positive: bool) -> Source:
    """Return who said it: what the caller knows is not guessed."""
    if source != "unknown":
        return source
    if decided:
        return "provider"
    return "tool" if false_positive else "unknown"


def _gathered(
    error: object, *, status: object, code_given: object, headers: object
) -> tuple[Evidence, ...]:
    """Return the evidence of ``error``; of one that cannot even be asked, its class's name."""
    try:
        return gather(error, status=status, code_given=code_given, headers=headers)
    except Exception:  # noqa: BLE001 - a foreign object raises what it likes, wherever it is asked
        name = type(error).__name__
    try:
        return gather(name, status=status, code_given=code_given, headers=headers)
    except Exception:  # noqa: BLE001 - so do a status, a code and headers
        return (Evidence(text=name),)


def _moment(now: float | None) -> float | None:
    """Return ``now`` when it can be a moment of the calendar, else None."""
    if isinstance(now, int | float) and math.isfinite(now) and 0 <= now <= _LAST_MOMENT:
        return float(now)
    return None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """A file of rules."""

    rule: tuple[Rule, ...] = ()


def load_rules(path: str | Path) -> tuple[Rule, ...]:
    """Return the rules of a TOML file: tables ``[[rule]]`` with the fields of :class:`Rule`.

    Raise OSError where the file cannot be read, and ValueError for one that is no TOML, has a
    field that no rule has, or has a rule that :class:`Classifier` would refuse or that does not
    decide its own example.
    """
    place = Path(path)
    if place.exists() and not place.is_file():  # a FIFO would be waited for, a device has no end
        message = f"{path}: not a regular file"
        raise ValueError(message)
    try:
        with place.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            message = f"larger than {_MOST_BYTES:,} bytes"
            raise ValueError(message)  # noqa: TRY301  told as all else that is wrong with it
        rules = msgspec.convert(tomllib.loads(text.decode()), _File).rule
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        message = f"{path}: {error}"
        raise ValueError(message) from error
    check_rules(rules)
    return rules


def check_rules(rules: tuple[Rule, ...]) -> None:
    """Raise ValueError for rules that cannot be used, or that do not decide their own examples."""
    classifier = Classifier(rules)
    for rule in rules:
        if rule.example and classifier.classify(rule.example).why.row != rule.name:
            message = f"rule {rule.name!r} does not decide its own example {rule.example!r}"
            raise ValueError(message)
