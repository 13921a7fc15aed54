"""A plugin of pytest that collects the tests once and then judges mutants in forks of itself."""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, NamedTuple, NoReturn

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.swapping import Change, Mutant, import_changed, swap

TESTS: Final = (
    "tests/conformance",
    "tests/prompts",
    "tests/recovery",
    "tests/session",
    "tests/unit",
)
SLOW: Final = (
    "tests/recovery/test_stale_work.py::test_every_reachable_state",
    "tests/session/test_properties.py",
    "tests/session/test_stateful.py",
)
"""Tests that take seconds each: what they alone would notice counts as not noticed."""
ARGUMENTS: Final = (
    *TESTS,
    *(argument for name in SLOW for argument in ("--deselect", name)),
    *("-qq", "-x", "-s", "-p", "no:randomly", "-p", "no:cacheprovider"),
    # Hypothesis is set up before pytest starts.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

Outcome = Literal["killed", "timeout", "survived", "untested"]
_MISSED, _NOTICED, _AT_IMPORT = 0, 1, 3
"""What a child ends with: no test failed, one did, or only an import can tell."""
_LEAST_S: Final = 20
_TIMES: Final = 10
"""A mutant may use so many times what its tests took, and at least so many seconds of CPU."""
_MEMORY: Final = 4 << 30


class Verdict(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    outcome: Outcome


class _Case(NamedTuple):
    mutant: Mutant
    tests: list[str]
    imports: bool
    """Whether the changed function runs while modules are imported."""
    importing: bool = False


def _settle() -> None:
    """Let every property try the same examples each time, and stop at the first failure."""
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")


class _Failures:
    """Notices whether a test failed."""

    failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed


def _limit(seconds: float) -> None:
    """Bound the CPU time and the memory of this process."""
    most = math.ceil(max(_LEAST_S, _TIMES * seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _child(work: Callable[[], int]) -> int:
    """Start a child that does this in silence and ends; return its pid."""
    pid = os.fork()
    if pid == 0:
        _silently(work)
    return pid


def _silently(work: Callable[[], int]) -> NoReturn:
    code = _NOTICED
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        code = work()
    finally:
        os._exit(code)


def _run(
    items: Iterable[pytest.Item],
    around: Callable[[str], AbstractContextManager[None]] = nullcontext,  # type: ignore[assignment]
) -> str:
    """Run the tests until one fails; return its name, or nothing."""
    seen = _Failures()
    for number, item in enumerate(items):
        if number == 0:
            item.config.pluginmanager.register(seen)
        with around(item.nodeid):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        if seen.failed:
            return item.nodeid
    return ""


class _Judge:
    """Judges mutants where pytest would run the tests."""

    def __init__(self, mutants: list[Mutant], jobs: int, told: Callable[[Verdict], None]) -> None:
        self.mutants, self.jobs, self.told = mutants, jobs, told
        self.verdicts: list[Verdict] = []
        self.cover = coverage.Coverage(
            data_file=None, config_file=False, source=["goalfsm", "recovery"], messages=False
        )
        self._cost: dict[str, float] = {}
        self._ran: dict[str, dict[int, set[str]]] = {}
        self._items: dict[str, pytest.Item] = {}

    # Which tests run which lines.

    def _measure(self, path: Path) -> int:
        """Run every test once and write down what it took and which lines it ran."""
        cost: dict[str, float] = {}

        @contextmanager
        def measured(name: str) -> Iterator[None]:
            self.cover.switch_context(name)
            start = time.process_time()
            yield
            cost[name] = time.process_time() - start

        failed = _run(self._items.values(), measured)
        self.cover.stop()
        data = self.cover.get_data()
        ran = {name: data.contexts_by_lineno(name) for name in data.measured_files()}
        path.write_text(json.dumps({"failed": failed, "cost": cost, "ran": ran}))
        return _MISSED

    def _learn(self, folder: Path) -> None:
        path = folder / "measured.json"
        os.waitpid(_child(lambda: self._measure(path)), 0)
        self.cover.stop()
        measured = json.loads(path.read_text()) if path.exists() else {"failed": "the run"}
        if measured["failed"]:
            raise pytest.UsageError(f"{measured['failed']} fails without any change")
        self._cost = measured["cost"]
        self._ran = {
            # Each name once: what a fork inherits costs it time.
            name: {int(line): set(map(sys.intern, tests)) for line, tests in ran.items()}
            for name, ran in measured["ran"].items()
        }

    def _fastest_first(self, tests: set[str]) -> list[str]:
        return sorted(tests, key=lambda name: (self._cost[name], name))

    def _case(self, mutant: Mutant) -> _Case:
        ran = self._ran.get(sys.modules[mutant.change.module].__file__ or "", {})
        met, around = (
            set().union(*(ran.get(line, ()) for line in lines))
            for lines in (mutant.lines, mutant.body)
        )
        tests = (met & self._items.keys()) or (around & self._items.keys())
        # What was called at import may have made something that is called ever since.
        return _Case(mutant, self._fastest_first(tests), "" in around)

    # One mutant, in a child.

    def _try(self, case: _Case) -> int:
        _limit(sum(self._cost[name] for name in case.tests))
        try:
            swap(case.mutant.change)
        except (NameError, TypeError, ValueError):
            return _AT_IMPORT
        return _NOTICED if _run(self._items[name] for name in case.tests) else _MISSED

    def _import(self, case: _Case, path: Path) -> int:
        """Become a new process in which the module is imported with the change."""
        _limit(sum(self._cost.values()))
        rest = self._fastest_first(self._items.keys() - set(case.tests))
        order = [*case.tests, *rest]
        path.write_text(json.dumps({"change": case.mutant.change, "order": order}))
        os.execv(sys.executable, [sys.executable, "-m", __name__, str(path)])  # noqa: S606

    def _start(self, case: _Case, folder: Path) -> int:
        if case.importing:
            return _child(lambda: self._import(case, folder / f"{case.mutant.name}.json"))
        return _child(lambda: self._try(case))

    def _judged(self, folder: Path) -> Iterator[Verdict]:
        waiting = [self._case(mutant) for mutant in reversed(self.mutants)]
        self._ran.clear()
        gc.collect()
        gc.freeze()
        running: dict[int, _Case] = {}
        while waiting or running:
            if waiting and len(running) < self.jobs:
                case = waiting.pop()
                if case.tests or case.imports:
                    running[self._start(case, folder)] = case
                else:
                    yield Verdict(case.mutant, "untested")
                continue
            pid, status = os.wait()
            case, code = running.pop(pid), os.waitstatus_to_exitcode(status)
            again = code == _AT_IMPORT or (code == _MISSED and case.imports)
            if again and not case.importing:
                waiting.append(case._replace(importing=True))
            else:
                yield Verdict(case.mutant, _outcome(code))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant."""
        self._items = {item.nodeid: item for item in session.items}
        with TemporaryDirectory() as name:
            self._learn(Path(name))
            for verdict in self._judged(Path(name)):
                self.verdicts.append(verdict)
                self.told(verdict)
        return True


def _outcome(code: int) -> Outcome:
    if code == _MISSED:
        return "survived"
    return "timeout" if code in {-signal.SIGXCPU, -signal.SIGKILL} else "killed"


def judge(
    mutants: Iterable[Mutant], *, jobs: int, told: Callable[[Verdict], None]
) -> list[Verdict]:
    """Return what became of every mutant; each is told as it is known."""
    _settle()
    judging = _Judge(list(mutants), jobs, told)
    judging.cover.start()  # before anything of ours is imported
    code = pytest.main([*ARGUMENTS], plugins=[judging])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise SystemExit(f"the tests cannot be run: {code!r}")
    return judging.verdicts


class _Order:
    """Runs the tests in a given order."""

    def __init__(self, order: list[str]) -> None:
        self._place = {name: place for place, name in enumerate(order)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self._place.get(item.nodeid, len(self._place)))


def _main(path: Path) -> int:
    """Judge one change in this process, from its imports on."""
    given = json.loads(path.read_text())
    _settle()
    import_changed(Change(*given["change"]))
    passed = pytest.main([*ARGUMENTS], plugins=[_Order(given["order"])]) == pytest.ExitCode.OK
    return _MISSED if passed else _NOTICED


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
