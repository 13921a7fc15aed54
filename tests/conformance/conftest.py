"""The conformance runner: every line of every vector file is one test, named by its id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import adapter_pure, adapter_recovery, adapter_session

Replay = Callable[[dict[str, Any]], tuple[Any, Any]]


def _single(call: Callable[[dict[str, Any]], Any]) -> Replay:
    return lambda line: (call(line), line["expect"])


REPLAYS: dict[str, Replay] = {
    "apply_usage": _single(adapter_pure.apply_usage),
    "create_goal": _single(adapter_pure.create_goal),
    "failures": _single(adapter_recovery.failure),
    "format": _single(adapter_pure.format_text),
    "live_usage": _single(adapter_pure.live_usage),
    "plan_transition": _single(adapter_pure.plan_transition),
    "update_status": _single(adapter_pure.update_status),
    "recovery_machine": adapter_recovery.recovery_machine,
    "stale_work": adapter_recovery.stale,
    "peer_tests": adapter_session.replay,
}


def _replay_of(path: Path) -> Replay:
    replay = adapter_session.replay if path.stem.startswith("session") else REPLAYS.get(path.stem)
    if replay is None:
        known = ", ".join([*sorted(REPLAYS), "session*"])
        raise pytest.Collector.CollectError(
            f"{path.name} is no known vector file; known are: {known}"
        )
    return replay


class Vector(pytest.Item):
    """One line."""

    def __init__(self, *, line: dict[str, Any], replay: Replay, file: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line, self.replay, self.file = line, replay, file

    def runtest(self) -> None:
        """Replay the line and compare step by step."""
        got, wanted = self.replay(self.line)
        if got == wanted:
            return
        if not isinstance(wanted, list):
            raise Mismatch(f"{self.name}\n  got    {got}\n  wanted {wanted}")
        at = next(i for i, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1])
        number, step = [(n, s) for n, s in enumerate(self.line["steps"]) if "expect" in s][at]
        step = {name: value for name, value in step.items() if name != "expect"}
        raise Mismatch(
            f"{self.name} differs first at step {number}: {step}\n"
            f"  got    {got[at]}\n  wanted {wanted[at]}"
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], **_: Any) -> Any:
        """Show a mismatch without a traceback, and a line that cannot be replayed from there on."""
        if isinstance(excinfo.value, Mismatch):
            return str(excinfo.value)
        excinfo.traceback = excinfo.traceback.cut(path=Path(__file__))
        return excinfo.getrepr(style="short")

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the report files this test."""
        return self.path, None, self.name


class Mismatch(AssertionError):
    """A line gave something else than it should."""


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Collector, name: str, obj: object
) -> list[pytest.Item] | None:
    """Turn the marker object of the test module into one test a line."""
    del obj
    return list(_items(collector)) if name == "VECTORS" else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file; one that is no vector is an error that names its place."""
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise _Malformed(path, number, f"no JSON: {error}") from error
        if not isinstance(line, dict) or "id" not in line:
            raise _Malformed(path, number, "no object with an id")
        yield line


class _Malformed(pytest.Collector.CollectError):
    """A line that is no vector."""

    def __init__(self, path: Path, number: int, fault: str) -> None:
        super().__init__(f"{path.name}, line {number}: {fault}")


def _items(collector: pytest.Collector) -> Iterator[pytest.Item]:
    folder: Path = collector.config.getoption("--vectors")
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise pytest.Collector.CollectError(f"there are no vectors (*.jsonl) in {folder}")
    for path in paths:
        replay = _replay_of(path)
        for line in _lines(path):
            yield Vector.from_parent(
                collector,
                name=f"{path.stem}[{line['id']}]",
                line=line,
                replay=replay,
                file=path.name,
            )


_outcomes: dict[str, Counter[str]] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Count outcomes by file."""
    outcome: Any = yield
    if isinstance(item, Vector) and call.when == "call":
        _outcomes.setdefault(item.file, Counter())[outcome.get_result().outcome] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Close with a count per file."""
    if not _outcomes:
        return
    terminalreporter.section("conformance vectors")
    for file, counts in sorted(_outcomes.items()):
        passed, total = counts["passed"], counts.total()
        terminalreporter.line(f"{file:32} {passed:5} of {total} passed")
