"""How the weights of the sieve were made: ``python -m tests.recovery.weigh`` writes them anew.

A logistic regression with an L1 penalty (follow the regularised leader, a rate per feature) learns
from the labelled messages that are not blind, and from texts that nobody could take for an error
of a provider, although a rule does: lines of a log that tell of no error, and paragraphs of the
sources and documents of the packages that are installed. Its weights, in tenths, are
``recovery/failures/weights.tsv``. The same packages give the same weights.
"""

from __future__ import annotations

import json
import math
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from recovery import classify
from recovery.failures import false_positives
from recovery.failures.false_positives import BIAS, features
from recovery.failures.rules import RULES
from tests.recovery.accuracy import messages

_HERE: Final = Path(__file__).parent
_ERRORS: Final = _HERE / "errors.jsonl"
_VECTORS: Final = _HERE.parent / "conformance" / "vectors" / "failures.jsonl"
_WEIGHTS: Final = Path(false_positives.__file__).with_name("weights.tsv")
_RARE: Final = 3
_ROUNDS: Final = 40
_RATE: Final = 0.3
_PENALTY: Final = 30.0
_TENTHS: Final = 10
_SEED: Final = 5
_ORDERS: Final = 5
_FILES: Final = 2_500
_SPOKEN_OF: Final = re.compile(
    r"rate.?limit|quota|time.?out|timed out|429|40[13]|50[0234]|529|overload|context (?:window"
    r"|length)|too long|unauthor|forbidden|api key|credit|billing|connection|token|exceed"
    r"|unavailable|throttl|denied|expired|retry",
    re.IGNORECASE,
)


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
            yield Example(message.error, message.decoy, 2.0)
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


def found() -> Iterator[Example]:
    """Yield paragraphs of installed packages that the rules take for an error of a provider."""
    chance = random.Random(_SEED)
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
                if classify(said[:900], source="provider").kind != "unknown":
                    yield Example(said[:900], false_positive=True, weight=0.7)


def _some_of(text: str, chance: random.Random) -> str:
    """Return the paragraph, or one to three lines of it: tools print both."""
    lines = text.splitlines()
    places = [place for place, line in enumerate(lines) if _SPOKEN_OF.search(line)]
    if chance.random() < 1 / 2 or not places:
        return text
    first = chance.choice(places)
    return "\n".join(lines[first : first + chance.choice((1, 1, 2, 3))])


def learned(examples: list[Example]) -> dict[str, float]:
    """Return the weight of each feature for a false positive; the bias is one of them.

    Each order of learning gives others: the weights are the mean of several.
    """
    runs = [_learned(examples, seed) for seed in range(_ORDERS)]
    names = {name for run in runs for name in run}
    return {name: sum(run.get(name, 0.0) for run in runs) / _ORDERS for name in names}


def _learned(examples: list[Example], seed: int) -> dict[str, float]:
    read = [features(example.text) for example in examples]
    often = Counter(name for names in read for name in names)
    rows = [[BIAS, *sorted(name for name in names if often[name] >= _RARE)] for names in read]
    share = sum(e.weight for e in examples if e.false_positive) / sum(e.weight for e in examples)
    leader: dict[str, float] = {}
    squares: dict[str, float] = {}
    weights: dict[str, float] = {}
    order = list(range(len(rows)))
    chance = random.Random(seed)
    for _ in range(_ROUNDS):
        chance.shuffle(order)
        for place in order:
            example = examples[place]
            balance = example.weight / (2 * (share if example.false_positive else 1 - share))
            logit = sum(weights.get(name, 0.0) for name in rows[place])
            slope = balance * (_sigmoid(logit) - example.false_positive)
            for name in rows[place]:
                was = squares.get(name, 0.0)
                squares[name] = was + slope * slope
                step = (math.sqrt(squares[name]) - math.sqrt(was)) / _RATE
                leader[name] = leader.get(name, 0.0) + slope - step * weights.get(name, 0.0)
                weights[name] = _pulled(leader[name], squares[name], name)
    return weights


def _pulled(leader: float, squares: float, name: str) -> float:
    """Return the weight that follows the leader; the penalty keeps what hardly matters at 0."""
    penalty = _PENALTY if name != BIAS else 0.0
    if abs(leader) <= penalty:
        return 0.0
    return -(leader - math.copysign(penalty, leader)) / ((1 + math.sqrt(squares)) / _RATE)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def main() -> None:
    """Write the weights, the heaviest first."""
    told = [*labelled(), *certain()]
    weights = learned([*told, *logged(told), *found()])
    tenths = {name: round(weight * _TENTHS) for name, weight in weights.items()}
    lines = sorted(
        ((value, name) for name, value in tenths.items() if value or name == BIAS),
        key=lambda line: (-abs(line[0]), line[1]),
    )
    _WEIGHTS.write_text("".join(f"{value}\t{name}\n" for value, name in lines), "utf-8")


if __name__ == "__main__":
    main()
