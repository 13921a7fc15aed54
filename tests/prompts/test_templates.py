"""Every template: its golden file, its placeholders, and what it has to say."""

from __future__ import annotations

from importlib import resources

import pytest

from goalfsm.session.prompt_notices import KINDS
from goalfsm.views.prompts.turn import TEMPLATES, TemplateError, compiled, fill, load
from tests.prompts.golden import FOLDER, sample

PLACES = [(name, place) for name, places in TEMPLATES.items() for place in sorted(places)]


def values_of(name: str) -> dict[str, str]:
    return {place: f"[[{place}]]" for place in TEMPLATES[name]}


def raw(name: str) -> str:
    folder = resources.files("goalfsm.views.prompts")
    return folder.joinpath(f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_renders_as_its_golden_file(name: str) -> None:
    """A change of words is seen: ``python -m tests.prompts.golden`` writes the files anew."""
    assert sample(name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_template() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(TEMPLATES)


def test_every_file_of_the_package_is_declared() -> None:
    names = {entry.name for entry in resources.files("goalfsm.views.prompts").iterdir()}
    assert {name for name in names if name.endswith(".md")} == {f"{n}.md" for n in TEMPLATES}


def test_every_notice_has_a_template() -> None:
    assert set(KINDS) <= set(TEMPLATES)


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_value_stands_in_its_place(name: str, place: str) -> None:
    """Each occurrence of the placeholder, and nothing else, becomes the value."""
    expected = raw(name).strip("\n")
    for other in TEMPLATES[name]:
        expected = expected.replace("{{" + other + "}}", f"[[{other}]]")
    text = fill(name, **values_of(name))
    assert text == expected
    assert text.count(f"[[{place}]]") == raw(name).count("{{" + place + "}}") > 0


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_missing_value_is_an_error(name: str, place: str) -> None:
    values = values_of(name)
    del values[place]
    with pytest.raises(TemplateError, match=name):
        fill(name, **values)


@pytest.mark.parametrize("name", TEMPLATES)
def test_unknown_value_is_an_error(name: str) -> None:
    with pytest.raises(TemplateError, match="surprise"):
        fill(name, **values_of(name), surprise="x")


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_values_are_not_looked_at_again(name: str, place: str) -> None:
    """A value that looks like a placeholder stays as it is."""
    others = "".join("{{" + other + "}}" for other in sorted(TEMPLATES[name]))
    assert others in fill(name, **(values_of(name) | {place: others}))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nothing in it", "placeholders"),
        ("{{detail}} {{surprise}}", "surprise"),
        ("{{detail}} {{Detail}}", "braces"),
        ("{{detail}} {{", "braces"),
        ("{{detail}} }}", "braces"),
    ],
)
def test_template_that_does_not_fit_is_an_error(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        compiled("woken", text)


def test_template_is_read_once() -> None:
    assert load("woken") is load("woken")


BOTH = (
    "data",
    "is not achieved",
    "a budget that is nearly gone is not compl",
    "1 of 3",
    "namespaced",
    "mcp__goalfsm__update_goal",
    "goalfsm tool update_goal",
    "same obstacle stops every useful way forward",
    '"complete" and the evidence',
)
FULL = (
    "Do not shrink its scope",
    "List every requirement",
    "look at that evidence in this turn",
    "A narrow check does not prove a broad claim",
    "so does resuming the goal",
    "Do not poll",
)
COMPACT = (
    "its scope is not shrunk",
    "requirement by requirement, against evidence that you look at now",
    "instead of polling",
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(("continuation", words) for words in BOTH + FULL),
        *(("continuation_compact", words) for words in BOTH + COMPACT),
    ],
)
def test_continuation_says(name: str, words: str) -> None:
    """Whichever form the model gets, it gets the rules."""
    assert words in sample(name)


@pytest.mark.parametrize(
    "words",
    [
        "its last one",
        "Do not begin anything new",
        "is not completion",
        "The scope is not shrunk",
        "uncertain is not achieved",
        "namespaced",
        "next step",
    ],
)
def test_wind_down_says(words: str) -> None:
    assert words in sample("wind_down")


@pytest.mark.parametrize("name", ["resumed", "objective_updated", "budget_raised"])
def test_guidance_to_stay_paused_is_revoked(name: str) -> None:
    """A model that was told to stop has to be told that this is over."""
    text = sample(name)
    assert "staying paused" in text
    assert "no longer holds" in text


def test_interrupted_run_is_not_repeated_blindly() -> None:
    assert "look at whether it has happened already" in sample("interrupted")
