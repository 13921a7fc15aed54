"""How the weights were made: ``python -m tests.recovery.weigh`` writes them anew.

``--without o p q`` writes nothing: it learns once for each of these sets without that set, and
says how often the messages of the set are told apart then. What stands in both is left out.

Logistic regressions with an L2 penalty learn from the labelled messages that are not blind, and
which texts are false positives also from texts that nobody could take for an error of a provider,
although a rule does: lines of a log that tell of no error, and paragraphs of the sources and
documents of the packages that are installed. The weights, in tenths, are
``recovery/failures/weights.tsv``. The same packages give the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import ge
from pathlib import Path
from typing import Final, NamedTuple

from recovery.failures import wording
from recovery.failures.rules import RULES
from recovery.failures.table import Classifier
from recovery.failures.texts import unwrapped
from recovery.failures.wording import BIAS, KINDS, abroad, features, shape
from tests.recovery.accuracy import figures, messages

_HERE: Final = Path(__file__).parent
_ERRORS: Final = _HERE / "errors.jsonl"
_VECTORS: Final = _HERE.parent / "conformance" / "vectors" / "failures.jsonl"
_WEIGHTS: Final = Path(wording.__file__).with_name("weights.tsv")
_NOBODY: Final = frozenset({"false_positive", "prose"})
"""What stands for the provider of a text that no provider said."""
_RARE: Final = 2
_ROUNDS: Final = 25, 100
"""How often each row is met among the kinds, and among the false positives."""
_STEPS: Final = 40
_CLOSE: Final = 1e-3
_LEAST: Final = 1e-9
_SIFTED: Final = 10.0
"""What a row may cost among the false positives."""
_START: Final = 25.0
"""How freely the bias may weigh there."""
_SURE: Final = 4.0
_FALSE: Final = 0.3
"""How much a text counts that must be right, and one that is a false positive, among the kinds."""
_COST: Final = 3.0
"""What a row may cost among the kinds: the less, the smaller the weights."""
_TOLD: Final = 0.5
"""How much a text's words count once more that every language has a word for."""
_TENTHS: Final = 10
_SLIGHT: Final = (2, 3)
"""Below how much a feature is left out: for a false positive, and for any kind."""
_SEED: Final = 5
_NOTHINGS: Final = 600
_FILES: Final = 2_500
_SPOKEN_OF: Final = re.compile(
    r"rate.?limit|quota|time.?out|timed out|429|40[13]|50[0234]|529|overload|context (?:window"
    r"|length)|too long|unauthor|forbidden|api key|credit|billing|connection|token|exceed"
    r"|unavailable|throttl|denied|expired|retry",
    re.IGNORECASE,
)


_TOO_FAST: Final = re.compile(r"rate.?limit|429|too many|quota|throttl", re.IGNORECASE)
_COMMON: Final = frozenset(" ".join(abroad()).split()) | frozenset(
    (
        *("reached", "used", "many", "requests", "limits", "exceeds", "tokens", "models"),
        *("connections", "parameters", "available", "overload", "try", "retry", "timed"),
        *("errors", "refused", "supports", "maximum", "large"),
    )
)
"""Words that failures are told with in any language, as ``wording.features`` gives them."""
_NOT_LETTERS: Final = re.compile(r"[\W\d_]+")


class Example(NamedTuple):
    """A text, whether it is a false positive, and how much it counts."""

    text: str
    false_positive: bool
    weight: float


def labelled() -> Iterator[Example]:
    """Yield the labelled texts: the text alone is judged, so those with a status teach nothing."""
    for message in messages():
        plain = message.status is None and message.code is None
        false_positive = message.false_positive
        if plain and not message.blind and false_positive is (message.kinds[0] == "unknown"):
            # Whole threads were read for the later sets: what stands in them is nearest to life.
            yield Example(message.error, false_positive, 8.0 if message.thread else 2.0)
    for line in _ERRORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        false_positive = row["expect"]["kind"] == "unknown"
        if {"status", "code"} & row.keys() or (false_positive and row["provider"] not in _NOBODY):
            continue
        yield Example(row["error"], false_positive, 1.5)


def certain() -> Iterator[Example]:
    """Yield what must pass: the examples of the rules, and the vectors that are no unknown."""
    for rule in RULES:
        yield Example(rule.example, false_positive=False, weight=4.0)
    for line in _VECTORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        expect = row["expect"] if row["fn"] == "classify" else {}
        if expect and (expect["retryable"] or expect["overflow"]):
            yield Example(row["error_message"], false_positive=False, weight=4.0)


def logged(examples: list[Example]) -> Iterator[Example]:
    """Yield some of what providers say as lines of a log: what it calls an error may be one."""
    chance = random.Random(_SEED)
    real = [each.text for each in examples if not each.false_positive and "\n" not in each.text]
    for text in chance.sample(real, 200):
        name = chance.choice(("app", "http.client", "worker", "urllib3", "api"))
        when = chance.choice(("2026-03-04 09:15:01 ", "[09:15:01] ", "2026-03-04T09:15:01Z ", ""))
        level = chance.choice(("INFO", "DEBUG", "[info]", "INFO"))
        yield Example(f"{when}{level} {name}: {text}", false_positive=True, weight=0.7)
        yield Example(f"{when}ERROR {name}: {text}", false_positive=False, weight=0.7)


@cache
def found() -> tuple[Example, ...]:
    """Return paragraphs of installed packages that a rule takes for an error of a provider.

    The rules that weigh words are not asked: what they say hangs on the weights.
    """
    chance = random.Random(_SEED)
    examples = []
    rules = Classifier(rule for rule in RULES if not rule.weighed)
    for root, pattern in (
        (sysconfig.get_path("purelib"), "**/*.py"),
        (sysconfig.get_path("purelib"), "**/*.md"),
        (sysconfig.get_path("stdlib"), "*/*.py"),
    ):
        files = sorted(path for path in Path(root).glob(pattern) if "goalfsm" not in str(path))
        for path in chance.sample(files, min(_FILES, len(files))):
            paragraphs = re.split(r"\n\s*\n", path.read_text("utf-8", "ignore")[:400_000])
            about = [text for text in paragraphs if _SPOKEN_OF.search(text)]
            for text in chance.sample(about, min(3, len(about))):
                said = _some_of(text, chance).strip()
                if rules.classify(said[:900], source="provider").kind != "unknown":
                    examples.append(Example(said[:900], false_positive=True, weight=0.7))
    return tuple(examples)


def _some_of(text: str, chance: random.Random) -> str:
    """Return the paragraph, or one to three lines of it: tools print both."""
    lines = text.splitlines()
    places = [place for place, line in enumerate(lines) if _SPOKEN_OF.search(line)]
    if chance.random() < 1 / 2 or not places:
        return text
    first = chance.choice(places)
    return "\n".join(lines[first : first + chance.choice((1, 1, 2, 3))])


Row = tuple[tuple[str, ...], bool, float]
"""Features, whether what is learned holds for them, and what it costs to be wrong there."""


def learned(rows: Sequence[Row], *, told_apart: bool = False) -> dict[str, float]:
    """Return what each feature weighs for a row to hold.

    A logistic regression with an L2 penalty, by coordinate descent in its dual: a row at a time,
    until all of them have been met often enough. What it comes to does not hang on the order.

    With ``told_apart``, what is learned is the sum over the root of how many features a row has,
    and a feature may weigh the more, the more it occurs on one side only.
    """
    often = Counter(name for names, _, _ in rows for name in names)
    places = {name: at for at, name in enumerate(n for n in often if often[n] >= _RARE)}
    kept = [
        ([places[name] for name in names if name in places], 1.0 if holds else -1.0, cost)
        for names, holds, cost in rows
    ]
    free = _sides(kept, len(places)) if told_apart else [1.0] * len(places)
    parts = [len(names) ** -0.5 if told_apart else 1.0 for names, _, _ in rows]
    start = _START if told_apart else 1.0
    duals = [cost * 0.01 for _, _, cost in kept]
    weights = [0.0] * len(places)
    bias = 0.0
    squares = []
    for (names, sign, _), dual, part in zip(kept, duals, parts, strict=True):
        bias += sign * dual * start
        squares.append(start + part * part * sum(map(free.__getitem__, names)))
        for name in names:
            weights[name] += sign * dual * part * free[name]
    order = list(range(len(kept)))
    chance = random.Random(_SEED)
    for _ in range(_ROUNDS[told_apart]):
        chance.shuffle(order)
        for place in order:
            names, sign, cost = kept[place]
            part = parts[place]
            margin = sign * (bias + part * sum(map(weights.__getitem__, names)))
            change = _best(squares[place], margin, duals[place], cost) - duals[place]
            duals[place] += change
            bias += sign * change * start
            step = sign * change * part
            for name in names:
                weights[name] += step * free[name]
    return {BIAS: bias, **{name: weights[place] for name, place in places.items()}}


def _sides(kept: Sequence[tuple[list[int], float, float]], count: int) -> list[float]:
    """Return how much more often than the others each feature occurs on one side, squared."""
    holds, fails = [1.0] * count, [1.0] * count
    for names, sign, cost in kept:
        side = holds if sign > 0 else fails
        for name in names:
            side[name] += cost
    shift = math.log(sum(holds) / sum(fails))
    return [(math.log(each / other) - shift) ** 2 for each, other in zip(holds, fails, strict=True)]


def _best(square: float, margin: float, dual: float, cost: float) -> float:
    """Return the dual variable at which a row costs least: Newton's method in a bracket."""
    low, high = -margin - square * (cost - dual), -margin + square * dual
    logit = min(max(math.log(dual / (cost - dual)), low), high)
    for _ in range(_STEPS):
        share = _sigmoid(logit)
        off = square * (cost * share - dual) + margin + logit
        if abs(off) < _CLOSE:
            break
        low, high = (low, logit) if off > 0 else (logit, high)
        logit -= off / (square * cost * share * (1 - share) + 1)
        if not low < logit < high:
            logit = (low + high) / 2
    return min(max(cost * _sigmoid(logit), cost * _LEAST), cost * (1 - _LEAST))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def false_positives(without: frozenset[str]) -> dict[str, float]:
    """Return what each feature weighs for a false positive; both sides count alike."""
    told = [each for each in (*labelled(), *certain()) if folded(each.text) not in without]
    examples = [*told, *logged(told), *found()]
    share = sum(e.weight for e in examples if e.false_positive) / sum(e.weight for e in examples)
    rows = []
    for text, false_positive, weight in examples:
        plain = unwrapped(text)
        cost = _SIFTED * weight / (2 * (share if false_positive else 1 - share))
        rows.append(((*features(plain), *shape(plain)), false_positive, cost))
    return learned(rows, told_apart=True)


def folded(text: str) -> str:
    """Return the letters of ``text``: what is left of two texts that say the same."""
    return _NOT_LETTERS.sub(" ", text.lower()).strip()


def kinds() -> Iterator[tuple[str, str, float]]:
    """Yield texts, the kind of each and how much it counts; false positives are of none."""
    for message in messages():
        if message.status is None and message.code is None and not message.blind:
            yield message.error, message.kinds[0], _FALSE if message.false_positive else 1.0
    for line in _ERRORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        if not {"status", "code"} & row.keys():
            kind = row["expect"]["kind"]
            yield row["error"], kind, _FALSE if row["provider"] in _NOBODY else 1.0
    for rule in RULES:
        yield rule.example, rule.kind, _SURE
    for line in _VECTORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["fn"] == "classify":
            text, expect = row["error_message"], row["expect"]
            passing = "rate_limited" if _TOO_FAST.search(text) else "transient"
            kind = "overflow" if expect["overflow"] else "unknown"
            yield text, passing if expect["retryable"] else kind, _SURE
    for example in found():
        yield example.text, "unknown", _FALSE
    yield from ((text, "unknown", 1.0) for text in nothing())


def nothing() -> Iterator[str]:
    """Yield one to four words that mean nothing together, out of the paragraphs that were found."""
    chance = random.Random(_SEED)
    words = sorted(set(re.findall(r"[A-Za-z]{2,12}", " ".join(each.text for each in found()))))
    plain = [word for word in words if _SPOKEN_OF.search(word) is None]
    for _ in range(_NOTHINGS):
        yield " ".join(chance.choices(plain, k=chance.choice((1, 1, 2, 3, 4))))
    for number in chance.sample(range(1_000, 10**6), 20):
        yield f"error code {number}"


def told_in_short(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is left of a text's features for a reader who knows the common words alone.

    So much is known of a text in another language; without such rows a failure told in it would
    always be too short to mean one.
    """
    known = [name for name in names if name in _COMMON]
    return ("<start>", "<end>", *known) if len(known) > 1 else ()


def weighed(without: frozenset[str] = frozenset()) -> dict[str, tuple[int, ...]]:
    """Return what each feature weighs in each column, in tenths; learn nothing from ``without``."""
    told = [
        (features(unwrapped(text)), kind, cost)
        for text, kind, cost in kinds()
        if folded(text) not in without
    ]
    for names, kind, cost in tuple(told):
        if short := told_in_short(names):
            told.append((short, kind, cost * _TOLD))
    columns = [
        false_positives(without),
        *(
            learned([(names, kind == each, _COST * cost) for names, kind, cost in told])
            for each in KINDS
        ),
    ]
    rows = {}
    for name in sorted({name for column in columns for name in column}):
        tenths = tuple(round(column.get(name, 0.0) * _TENTHS) for column in columns)
        most = abs(tenths[0]), max(map(abs, tenths[1:]))
        if name == BIAS or any(map(ge, most, _SLIGHT)):
            rows[name] = tenths
    return rows


def left_out(name: str) -> str:
    """Return the figures of a set for which weights are learned without it."""
    asked = [message for message in messages() if message.set == name]
    use(weighed(frozenset(folded(message.error) for message in asked)))
    return f"{name}: {figures(asked)}"


def use(weights: Mapping[str, tuple[int, ...]]) -> None:
    """Have this process weigh words by ``weights``."""
    wording.meaning.cache_clear()
    wording.weights = lambda: weights  # type: ignore[assignment]


def main() -> None:
    """Write the weights, a feature a line: what it weighs in each column, and its name."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--without", nargs="+", metavar="SET", default=())
    sets = parser.parse_args().without
    for name in sets:
        sys.stdout.write(f"{left_out(name)}\n")
    if not sets:
        rows = (
            "\t".join([*(str(each or "") for each in tenths), name])
            for name, tenths in weighed().items()
        )
        _WEIGHTS.write_text("".join(f"{row}\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
