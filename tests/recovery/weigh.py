"""How the weights were made: ``python -m tests.recovery.weigh`` writes them anew.

Logistic regressions with an L2 penalty learn from the labelled messages that are not blind, and
which texts are false positives also from texts that nobody could take for an error of a provider,
although a rule does: lines of a log that tell of no error, and paragraphs of the sources and
documents of the packages that are installed. The weights, in tenths, are
``recovery/failures/weights.tsv``. The same packages give the same weights.
"""

from __future__ import annotations

import json
import math
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from recovery.failures import wording
from recovery.failures.rules import RULES
from recovery.failures.table import Classifier
from recovery.failures.texts import unwrapped
from recovery.failures.wording import BIAS, KINDS, features
from tests.recovery.accuracy import messages

_HERE: Final = Path(__file__).parent
_ERRORS: Final = _HERE / "errors.jsonl"
_VECTORS: Final = _HERE.parent / "conformance" / "vectors" / "failures.jsonl"
_WEIGHTS: Final = Path(wording.__file__).with_name("weights.tsv")
_RARE: Final = 2
_ROUNDS: Final = 25
_STEPS: Final = 40
_CLOSE: Final = 1e-3
_LEAST: Final = 1e-9
_SIFTED: Final = 1.0
"""What a row may cost among the false positives."""
_SURE: Final = 4.0
_FALSE: Final = 0.3
"""How much a text counts that must be right, and one that is a false positive, among the kinds."""
_COST: Final = 3.0
"""What a row may cost among the kinds: the less, the smaller the weights."""
_TENTHS: Final = 10
_SLIGHT: Final = 2
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


class Example(NamedTuple):
    """A text, whether it is a false positive, and how much it counts."""

    text: str
    false_positive: bool
    weight: float


def labelled() -> Iterator[Example]:
    """Yield the labelled texts: the text alone is judged, so those with a status teach nothing."""
    for message in messages():
        plain = message.status is None and message.code is None
        if plain and not message.blind and message.decoy is (message.kinds[0] == "unknown"):
            # Whole threads were read for the later sets: what stands in them is nearest to life.
            yield Example(message.error, message.decoy, 4.0 if message.thread else 2.0)
    for line in _ERRORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        decoy = row["expect"]["kind"] == "unknown"
        if {"status", "code"} & row.keys() or (decoy and row["provider"] not in {"decoy", "prose"}):
            continue
        yield Example(row["error"], decoy, 1.5)


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


def learned(rows: Sequence[tuple[tuple[str, ...], bool, float]]) -> dict[str, float]:
    """Return what each feature weighs for a row to hold: of features, whether, and its cost.

    A logistic regression with an L2 penalty, by coordinate descent in its dual: a row at a time,
    until all of them have been met often enough. What it comes to does not hang on the order.
    """
    often = Counter(name for names, _, _ in rows for name in names)
    kept = [
        ([BIAS, *(name for name in names if often[name] >= _RARE)], 1.0 if holds else -1.0, cost)
        for names, holds, cost in rows
    ]
    duals = [cost * 0.01 for _, _, cost in kept]
    weights: dict[str, float] = {}
    for (names, sign, _), dual in zip(kept, duals, strict=True):
        for name in names:
            weights[name] = weights.get(name, 0.0) + sign * dual
    order = list(range(len(kept)))
    chance = random.Random(_SEED)
    for _ in range(_ROUNDS):
        chance.shuffle(order)
        for place in order:
            names, sign, cost = kept[place]
            margin = sign * sum(weights[name] for name in names)
            change = _best(len(names), margin, duals[place], cost) - duals[place]
            duals[place] += change
            for name in names:
                weights[name] += sign * change
    return weights


def _best(square: int, margin: float, dual: float, cost: float) -> float:
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


def false_positives() -> dict[str, float]:
    """Return what each feature weighs for a false positive; both sides count alike."""
    told = [*labelled(), *certain()]
    examples = [*told, *logged(told), *found()]
    share = sum(e.weight for e in examples if e.false_positive) / sum(e.weight for e in examples)
    return learned(
        [
            (
                features(unwrapped(each.text)),
                each.false_positive,
                _SIFTED * each.weight / (2 * (share if each.false_positive else 1 - share)),
            )
            for each in examples
        ]
    )


def kinds() -> Iterator[tuple[str, str, float]]:
    """Yield texts, the kind of each and how much it counts; false positives are of none."""
    for message in messages():
        if message.status is None and message.code is None and not message.blind:
            yield message.error, message.kinds[0], _FALSE if message.decoy else 1.0
    for line in _ERRORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        if not {"status", "code"} & row.keys():
            kind = row["expect"]["kind"]
            yield row["error"], kind, _FALSE if row["provider"] in {"decoy", "prose"} else 1.0
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


def main() -> None:
    """Write the weights, a feature a line: what it weighs in each column, and its name."""
    told = [(features(unwrapped(text)), kind, cost) for text, kind, cost in kinds()]
    columns = [
        false_positives(),
        *(
            learned([(names, kind == each, _COST * cost) for names, kind, cost in told])
            for each in KINDS
        ),
    ]
    lines = []
    for name in sorted({name for column in columns for name in column}):
        tenths = [round(column.get(name, 0.0) * _TENTHS) for column in columns]
        if name == BIAS or max(map(abs, tenths)) >= _SLIGHT:
            lines.append("\t".join([*map(str, tenths), name]))
    _WEIGHTS.write_text("".join(f"{line}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
