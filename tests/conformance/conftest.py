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
        raise pytest.UsageError(f"{path.name} is no known vector file; known are: {known}")
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
        step = {k: v for k, v in self.line["steps"][at].items() if k != "expect"}
        raise Mismatch(
            f"{self.name} differs first at step {at}: {step}\n"
            f"  got    {got[at]}\n  wanted {wanted[at]}"
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], **_: Any) -> Any:
        """Show a mismatch without a traceback."""
        if isinstance(excinfo.value, Mismatch):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

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


def _items(collector: pytest.Collector) -> Iterator[pytest.Item]:
    folder: Path = collector.config.getoption("--vectors")
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise pytest.UsageError(f"there are no vectors in {folder}")
    for path in paths:
        replay = _replay_of(path)
        for text in path.read_text(encoding="utf-8").splitlines():
            if text.strip():
                line = json.loads(text)
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
