"""A few hundred worlds in which everything breaks; the long form is ``make simulate SEEDS=N``."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.simulation.bugs import BUGS, switched_on
from tests.simulation.command import Played, command, main, run
from tests.simulation.drawing import draw
from tests.simulation.plan import Plan, Shutdown, shown
from tests.simulation.shrinking import fails, shrink
from tests.simulation.stats import Stats

SEEDS = 300
CHUNK = 25
MENDED = (
    *(4_100_345, 4_100_669, 4_101_734, 6_010_095, 6_016_605, 6_016_694, 6_018_327, 6_019_356),
    *(6_020_016, 6_045_367, 6_100_086, 6_136_358, 6_309_486, 6_330_429, 6_407_806, 6_412_698),
    *(6_506_358, 6_700_666),
)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_that_must_not_happen_happens(first: int) -> None:
    """Each world keeps every rule, comes to rest and adds up."""
    stats = Stats()
    for seed in range(first, first + CHUNK):
        world, violation = run(draw(seed))
        stats.add(world.stats)
        assert violation is None, f"{violation}\nreproduce: {command(seed)}"
    # Worlds in which nothing happens, or nothing breaks, would prove nothing.
    assert stats.events > CHUNK * 30
    assert stats.replays == stats.events
    assert min(stats.crashes, stats.stalls, stats.faults, stats.runs_interrupted) > 0


@pytest.mark.parametrize("seed", MENDED)
def test_what_was_mended_stays_so(seed: int) -> None:
    """Each of these worlds has shown a fault that one in thousands shows."""
    assert run(draw(seed))[1] is None


def test_a_seed_gives_the_same_world_again() -> None:
    """Line by line, whatever was played before it."""
    first = run(draw(11))[0].told()
    run(draw(12))
    assert len(first) > 50
    assert run(draw(11))[0].told() == first


def test_a_plan_without_trouble_is_a_quiet_one() -> None:
    """What breaks comes from the plan alone."""
    plan = draw(3)
    kinds = {"Say", "Turn", "Check"}
    items = tuple(item for item in plan.items if type(item).__name__ in kinds)
    quiet = Plan(seed=3, workers=plan.workers, policy=plan.policy, items=items)
    world, violation = run(quiet)
    assert violation is None
    assert (world.stats.crashes, world.stats.faults, world.stats.takeovers) == (0, 0, 0)
    assert world.stats.runs > 0


def test_a_failing_plan_is_made_small() -> None:
    """Nothing can be left out of it any more, and it still breaks the same rule."""
    with switched_on("redo_nothing"):
        seed, violation = next(
            (seed, violation) for seed in range(1, 20) if (violation := run(draw(seed))[1])
        )
        plan = draw(seed)
        small = shrink(plan, violation.rule)
        assert len(small.items) < len(plan.items) / 2
        assert fails(small, violation.rule)
        for index in range(len(small.items)):
            items = small.items[:index] + small.items[index + 1 :]
            assert not fails(replace(small, items=items), violation.rule)
    assert not fails(small, violation.rule)


def test_a_failure_says_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """With the command, the small plan and what happens in it."""
    assert main(["--seeds", "20", "--bug", "start_twice"]) == 1
    said = capsys.readouterr().out
    assert "reproduce: python -m tests.simulation --seed" in said
    assert "--trace --bug start_twice" in said
    assert "a worker starts twice" in said
    assert "The same with" in said
    seed = said.partition("--seed ")[2].split()[0]
    assert main(["--seed", seed, "--trace", "--bug", "start_twice"]) == 1
    assert "VIOLATION" in capsys.readouterr().out


def test_the_command_counts_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds, steps, crashes and faults are in its last line."""
    assert main(["--seeds", "3", "--start", "5"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("3 seeds, ")
    for figure in ("steps", "events", "crashes", "takeovers", "store faults", "rows replayed"):
        assert figure in last


def test_the_command_tells_which_worlds_find_each_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a table; a bug that no world finds makes it fail, when there were as many as it takes."""
    few = Played(bugs={name: BUGS[name] for name in ("start_twice", "mark_before_doing")})
    assert main(["--bugs", "6"], few) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(few.bugs)
    assert rows[2].startswith("| a worker is started twice for one dispatch (`start_twice`) | 10 ")
    monkeypatch.setattr("tests.simulation.command.run", lambda _plan, _world: (None, None))
    assert main(["--bugs", "2"], few) == 0
    assert "none" in capsys.readouterr().out
    assert main(["--bugs", "10"], few) == 1


def test_an_item_is_shown_without_what_it_leaves_out() -> None:
    """A plan is read by people."""
    assert shown(Shutdown(at_ms=5, grace_ms=0)) == "Shutdown at_ms=5"
