from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.diagram import DiagramError, named, render
from goalfsm.diagram.docs import blocks
from goalfsm.diagram.docs.order import Order, fulfil, read_order

OPEN = "<!-- goalfsm:diagram run direction=LR -->"
CLOSE = "<!-- /goalfsm:diagram -->"
BODY = f"\n```mermaid\n{render(named('run'), direction='LR')}```\n\n"


def test_a_stale_block_is_replaced_and_nothing_else() -> None:
    text = f"# Title\n\n{OPEN}\nold\n{CLOSE}\n\nThe end"
    fresh, stale = blocks.refreshed(text)
    assert fresh == f"# Title\n\n{OPEN}\n{BODY}{CLOSE}\n\nThe end"
    assert [(block.line, block.order.machine) for block in stale] == [(3, "run")]
    assert blocks.refreshed(fresh) == (fresh, ())


def test_several_blocks_of_a_file_are_all_kept() -> None:
    table = "<!-- goalfsm:diagram recovery format=table effects=yes -->"
    fresh, stale = blocks.refreshed(f"{OPEN}\n{CLOSE}\n{table}\n{CLOSE}\n{OPEN}\n{BODY}{CLOSE}\n")
    assert [block.line for block in stale] == [1, 3]
    assert fresh.count("```mermaid") == 2
    assert render(named("recovery"), format="table", effects=True) in fresh
    assert blocks.refreshed(fresh)[1] == ()


def test_line_ends_stay_as_they_are() -> None:
    text = f"a\r\n{OPEN}\r\n{CLOSE}\r\nb\r\n"
    fresh, stale = blocks.refreshed(text)
    assert len(stale) == 1
    assert "\n" not in fresh.replace("\r\n", "")
    assert blocks.refreshed(fresh) == (fresh, ())


@pytest.mark.parametrize("ticks", ["```", "~~~~", "   ````"])
def test_markers_in_code_are_text(ticks: str) -> None:
    text = f"{ticks}md\n{OPEN}\n```nested\n{CLOSE}\n{ticks}\n{OPEN}\n{BODY}{CLOSE}\n"
    assert blocks.refreshed(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"a\n{OPEN}\nb", "2: this block is never closed"),
        (f"{OPEN}\n{OPEN}\n{CLOSE}", "2: the block of line 1 is still open"),
        (f"a\n\n{CLOSE}", "3: this marker closes nothing"),
        (f"<!-- goalfsm:diagram zzz -->\n{CLOSE}", "1: unknown machine 'zzz'"),
        (f"<!-- goalfsm:diagram run x=y -->\n{CLOSE}", "1: unknown option 'x=y'"),
        (f"<!-- goalfsm:diagram run format=svg -->\n{CLOSE}", "1: a forge does not show SVG"),
        (f"<!-- goalfsm:diagram run highlight=zzz -->\n{CLOSE}", "1: unknown state 'zzz'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DiagramError, match=said) as refused:
        blocks.refreshed(text)
    assert refused.value.hint


def test_a_section_in_a_block_has_no_heading_of_its_own() -> None:
    section = blocks.block_body(Order(machine="run", format="md"))
    assert "## " not in section
    assert "| Trigger |" in section
    assert "## Runs" in blocks.block_body(Order(machine="run", format="md", title="Runs"))


def test_dot_and_json_are_fenced_as_what_they_are() -> None:
    assert blocks.block_body(Order(machine="run", format="dot")).startswith("\n```dot\ndigraph")
    assert blocks.block_body(Order(machine="run", format="json")).startswith("\n```json\n{")


def test_files_are_checked_without_being_written(tmp_path: Path) -> None:
    stale, fresh = tmp_path / "a.md", tmp_path / "b.md"
    stale.write_bytes(f"{OPEN}\nold\n{CLOSE}".encode())
    fresh.write_bytes(f"{OPEN}\n{BODY}{CLOSE}".encode())
    (found,) = blocks.check([stale, str(fresh)])
    assert (found.path, found.line, found.machine) == (stale, 1, "run")
    assert str(found) == f"{stale}:1: the block of 'run' is stale"
    assert b"old" in stale.read_bytes()
    assert blocks.write([stale, fresh]) == (found,)
    assert stale.read_bytes() == fresh.read_bytes()
    assert blocks.check([stale, fresh]) == ()


def test_an_error_in_one_file_leaves_all_as_they_are(tmp_path: Path) -> None:
    stale, broken = tmp_path / "a.md", tmp_path / "b.md"
    stale.write_text(f"{OPEN}\nold\n{CLOSE}")
    broken.write_text(OPEN)
    with pytest.raises(DiagramError, match=r"b\.md:1: this block is never closed"):
        blocks.write([stale, broken])
    assert "old" in stale.read_text()


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "x.md"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DiagramError, match="there is no"):
        blocks.check([tmp_path / "no.md"])
    with pytest.raises(DiagramError, match="cannot read"):
        blocks.check([binary])
    with pytest.raises(DiagramError, match="cannot read"):
        blocks.check([tmp_path])


def test_an_order_is_one_line() -> None:
    text = 'goal direction=LR guards=no effects=yes highlight=active,paused title="A b" format=dot'
    assert read_order(text) == Order(
        machine="goal",
        direction="LR",
        guards=False,
        effects=True,
        highlight=("active", "paused"),
        title="A b",
        format="dot",
    )
    assert read_order("goal", default_format="svg") == Order(machine="goal", format="svg")
    assert "A b" in fulfil(read_order(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('goal title="', "No closing quotation"),
        ("", "no machine was named"),
        ("goal guards=maybe", "guards=maybe is neither yes nor no"),
        ("goal direction=UP", "unknown direction 'UP'"),
        ("goal format=png", "unknown format 'png'"),
        ("goal LR", "unknown option 'LR'"),
    ],
)
def test_an_order_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(DiagramError, match=said) as refused:
        read_order(text)
    assert refused.value.hint


def test_line_ends_stay_as_each_of_them_is() -> None:
    """A file of both kinds keeps both; a block has those of its marker."""
    text = (
        "one\r\ntwo\n<!-- goalfsm:diagram goal format=json -->\r\nold\r\n"
        "<!-- /goalfsm:diagram -->\nend\x0cof page\u2028"
    )
    fresh, (stale,) = blocks.refreshed(text)
    assert fresh.startswith(
        "one\r\ntwo\n<!-- goalfsm:diagram goal format=json -->\r\n\r\n```json\r\n"
    )
    assert fresh.endswith("```\r\n\r\n<!-- /goalfsm:diagram -->\nend\x0cof page\u2028")
    assert stale.line == 3
    assert blocks.refreshed(fresh) == (fresh, ())


def test_a_name_with_a_line_separator_does_not_break_its_block(tmp_path: Path) -> None:
    machine = tmp_path / "users_separated.py"
    machine.write_text(
        "from goalfsm.diagram import Diagram, Node\n"
        "drawn = Diagram(title='', states=(Node(name='a\\u2028b'), Node(name='c\\x85d')))\n"
    )
    text = "".join(
        f"<!-- goalfsm:diagram users_separated:drawn format={format_} -->\n"
        "<!-- /goalfsm:diagram -->\n"
        for format_ in ("json", "mermaid", "dot", "table", "md")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        fresh, _ = blocks.refreshed(text)
        assert blocks.refreshed(fresh) == (fresh, ())
    assert fresh.count("<!-- goalfsm:diagram") == fresh.count("<!-- /goalfsm:diagram -->") == 5
