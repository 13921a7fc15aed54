from __future__ import annotations

import re

import pytest

from tests.packaging import house, shared

PAGE = house.PAGE.read_text(encoding="utf-8")
ABOUT = 100
"""How far a figure of the page may be from what is counted: it is a round one."""
HOMES = ("", "goalfsm", "goalfsm/daemon", "goalfsm/daemon/flow", "goalfsm/session")
"""Where a name of the page may be: it is said from the nearest package on."""


def exists(name: str) -> bool:
    paths = [house.ROOT / home / name for home in HOMES]
    return any(path.exists() or path.with_suffix(".py").is_file() for path in paths)


def named(heading: str) -> list[str]:
    """Return the packages in the first column of the table below a heading."""
    table = PAGE.split(f"{heading}\n", 1)[1].split("\n\n", 1)[0]
    rows = (row.split("|")[1] for row in table.splitlines()[1:])
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_the_picture_of_the_house_is_what_the_contracts_say() -> None:
    """Anew: python -m tests.packaging.house."""
    assert house.picture() in PAGE


def test_a_box_of_the_picture_is_a_word() -> None:
    boxes = re.findall(r"(\S+)\[([^]]+)\]", house.picture().replace('"', ""))
    assert len(boxes) > 20
    assert [box for box in boxes if not re.fullmatch(r"\w+", box[0])] == []


@pytest.mark.parametrize("contract", ["layers", "daemon"])
def test_the_tables_have_every_package_and_no_other(contract: str) -> None:
    packages = {part for layer in house.layers(contract) for part in layer}
    heading = "| package | what it is |"
    if contract == "daemon":
        assert set(named("In the daemon:\n\n" + heading)) == packages
    else:
        assert set(named(heading)) == packages | {"recovery"}


def test_the_lines_that_a_node_shares_are_those_that_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the hundred: python -m tests.packaging.shared."""
    monkeypatch.chdir(house.ROOT)
    (said,) = re.findall(r"^Of the daemon's .*(?:\n.+)*", PAGE, re.MULTILINE)
    told = [int(each.replace(",", "")) for each in re.findall(r"\d,\d{3}", said)]
    both, daemon, node = (written for written, _ in shared.counted().values())
    assert told == pytest.approx([both + daemon, both, daemon, node], abs=ABOUT)


def test_every_file_that_the_page_names_is_there() -> None:
    text = PAGE.split("## The rules", 1)[1] + PAGE.split("<!-- /house -->", 1)[1]
    paths = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:\.py)?|[a-z_]+\.py)`", text))
    assert len(paths) > 15
    assert [path for path in sorted(paths) if not exists(path)] == []
