"""Templates: what their files say, what becomes of their inputs, and whose programs may run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from goalfsm.errors import GoalError
from goalfsm.templates import finding
from goalfsm.templates.template import MAX_BYTES, Template, TemplateError, fill, parse

WHOLE = """+++
description = "Fix it"
tokens = "2M"
time = 90
turns = 7
cost = 2.5
accept = true
agent = "codex"
criteria = ["{{what}} is mended"]
verify = ["grep -q {{what}} log.txt", "{{check}}"]
seal = ["expected/{{what}}"]
unsealed = ["log.txt"]
verify_changed = "accept"
inline = true
until = "{{check}} --fast"

[inputs.what]
description = "the fault"

[inputs.check]
kind = "command"
default = "make test"
+++
Mend {{ what }}.

- [ ] It was seen before
- [x] and is not now
Nothing else.
"""


def whole() -> Template:
    return parse("fix", WHOLE)


def test_a_template_becomes_an_objective_and_options() -> None:
    filled = fill(whole(), {"what": "the leak; rm -rf /"})
    assert filled.objective == "Mend the leak; rm -rf /.\n\nNothing else."
    assert filled.program == ()
    assert filled.options == (
        *("--criterion", "the leak; rm -rf / is mended"),
        *("--criterion", "It was seen before"),
        *("--criterion", "and is not now"),
        *("--verify", "grep -q 'the leak; rm -rf /' log.txt"),
        *("--verify", "make test"),
        *("--seal", "expected/the leak; rm -rf /"),
        *("--unsealed", "log.txt"),
        *("--until", "make test --fast"),
        *("--tokens", "2M"),
        *("--time", "90"),
        *("--cost", "2.5"),
        *("--max-continuations", "7"),
        *("--verify-changed", "accept"),
        *("--agent", "codex"),
        "--accept",
        "--inline",
    )


def test_an_input_is_one_word_of_a_command_and_a_command_is_what_it_says() -> None:
    filled = fill(whole(), {"what": "$(id) 'x'", "check": "pytest -q"})
    verifiers = [
        value
        for flag, value in zip(filled.options, filled.options[1:], strict=False)
        if flag == "--verify"
    ]
    assert shlex.split(verifiers[0]) == ["grep", "-q", "$(id) 'x'", "log.txt"]
    assert shlex.split(verifiers[1]) == ["pytest", "-q"]


def test_a_program_is_split_into_its_words() -> None:
    template = parse("p", '+++\nprogram = "./work {{on}}"\n[inputs.on]\n+++\nDo it with {{on}}.\n')
    assert fill(template, {"on": "a b"}).program == ("./work", "a b")
    assert template.programs == ("./work {{on}}",)


def test_a_file_without_front_matter_is_an_objective() -> None:
    template = parse("plain", "Do it.\n- [ ] it is done\n")
    assert (template.objective, template.criteria) == ("Do it.", ("it is done",))
    assert fill(template, {}).options == ("--criterion", "it is done")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("+++\ntokens = 1\nDo it.", "does not end"),
        ("+++\ntokens = \n+++\nDo it.", "no TOML"),
        ("+++\nbudget = 5\n+++\nDo it.", "budget"),
        ("+++\ntokens = []\n+++\nDo it.", "tokens"),
        ("+++\n+++\n  \n", "no objective"),
        ("- [ ] only a criterion", "no objective"),
        ('+++\nseal = ["x"]\n+++\nDo it.', "names no verifier"),
        ('+++\nverify = ["x"]\nseal = ["{{y}}"]\n+++\nDo it.', "uses y"),
        ('+++\nagent = "pi"\nprogram = "x"\n+++\nDo it.', "an agent and a program"),
        ('+++\n[inputs."a b"]\n+++\nDo it.', "name of an input"),
        ("Do {{it}}.", "uses it"),
        ("+++\n[inputs.it]\n+++\nDo that.", "does not use it"),
        ("x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, why: str) -> None:
    with pytest.raises(TemplateError) as raised:
        parse("t", text)
    assert why in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "template_input_missing"),
        ({"what": "x", "who": "y"}, "template_input_unknown"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given: dict[str, str], code: str) -> None:
    with pytest.raises(TemplateError) as raised:
        fill(whole(), given)
    assert raised.value.code == code
    assert raised.value.hint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder with a template in it, in a home of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    (folder / finding.FOLDER).mkdir(parents=True)
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / finding.FOLDER / "mine.md").write_text('+++\nverify = ["./check"]\n+++\nDo it.\n')
    return folder


def test_every_template_that_comes_along_can_be_used(project: Path) -> None:
    built_in = [found for found in finding.every(project) if found.source == "built in"]
    assert {found.name for found in built_in} == {
        *("fix-issue", "refactor", "add-feature", "make-green", "upgrade-dependency")
    }
    for found in built_in:
        template = found.parse()
        needed = {name: "x" for name, one in template.head.inputs.items() if one.default is None}
        filled = fill(template, needed)
        assert "{{" not in filled.objective + " ".join(filled.options)
        assert finding.is_trusted(found, template)


def test_the_nearest_template_of_a_name_wins(project: Path, tmp_path: Path) -> None:
    own = finding.user_folder()
    own.mkdir(parents=True)
    (own / "mine.md").write_text("The user's.")
    (own / "refactor.md").write_text("The user's own way.")
    sources = {found.name: found.source for found in finding.every(project / "src" / "deep")}
    assert (sources["mine"], sources["refactor"]) == ("project", "user")
    assert {f.name: f.source for f in finding.every(tmp_path)}["mine"] == "user"


def test_a_project_ends_at_its_repository(project: Path) -> None:
    (project / "src" / ".git").mkdir()
    assert "mine" not in {found.name for found in finding.every(project / "src" / "deep")}


def test_programs_of_a_repository_run_only_when_trusted_as_they_are(project: Path) -> None:
    found = finding.find("mine", project)
    with pytest.raises(GoalError) as raised:
        finding.require_trust(found, found.parse())
    assert raised.value.code == "template_untrusted"
    assert "./check" in raised.value.message
    finding.trust(found, found.parse())
    finding.require_trust(found, found.parse())
    assert found.path is not None
    found.path.write_text('+++\nverify = ["./other"]\n+++\nDo it.\n')
    changed = finding.find("mine", project)
    assert not finding.is_trusted(changed, changed.parse())


def test_a_template_that_starts_nothing_needs_no_trust(project: Path) -> None:
    path = project / finding.FOLDER / "calm.md"
    path.write_text("Only words.")
    found = finding.find(str(path), project)
    assert finding.is_trusted(found, found.parse())


def test_a_broken_memory_of_trust_is_said(project: Path, tmp_path: Path) -> None:
    found = finding.find("mine", project)
    finding.trust(found, found.parse())
    (file,) = (tmp_path / "state").rglob("trusted-templates.json")
    file.write_text("{")
    with pytest.raises(GoalError) as raised:
        finding.is_trusted(found, found.parse())
    assert raised.value.code == "trust_unreadable"


@pytest.mark.parametrize("name", ["nothing", "./nothing.md"])
def test_an_unknown_template_is_refused(name: str, project: Path) -> None:
    with pytest.raises(GoalError) as raised:
        finding.find(name, project)
    assert raised.value.code == "template_unknown"


def test_a_file_that_is_no_text_is_refused(project: Path) -> None:
    path = project / finding.FOLDER / "mine.md"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError):
        finding.find("mine", project)
