"""What a goal and the program that works on it are described by on a command line."""

from __future__ import annotations

from typing import Any, Final

import click
from msgspec.structs import asdict

from goalfsm.cli import arguments, options, places, policy_settings, programs, turn_worker
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.cli.templating import FLAGS, names_of_templates
from goalfsm.goal.model import Criterion, Limits, Seal, Verifier
from goalfsm.session.events import ObjectiveGiven, Setting
from goalfsm.session.routes import parse

_VERIFY_TIMEOUT_S: Final = 600.0
objective_options: Final = options.all_of(
    click.option(
        "--until",
        metavar="CMD",
        help="Run after each turn; the goal is complete when it exits with 0; no shell.",
    ),
    click.option(
        "--verify",
        "verifiers",
        multiple=True,
        metavar="CMD",
        help='Must exit with 0 before "complete" counts; no shell; repeatable.',
    ),
    click.option(
        "--accept",
        "ask_person",
        is_flag=True,
        help="A person has to accept completion: goalfsm accept.",
    ),
    options.VERIFY_TIMEOUT,
    click.option(
        "--criterion",
        "criteria",
        multiple=True,
        metavar="TEXT",
        help="One thing that must be shown before the goal is complete; repeatable.",
    ),
    options.sealing,
    options.budgets,
    click.option(
        "--policy",
        type=policy_settings.setting,
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the thread, like blocked_after=5; repeatable.",
    ),
    click.option(
        "--route",
        "routes",
        type=policy_settings.route,
        multiple=True,
        metavar="ROUTE",
        help='Who does turns when little is left, like "below 25% tokens: -- PROGRAM"; of '
        "tokens, time, cost or turns; repeatable.",
    ),
    click.option(
        "--on-complete",
        type=click.Choice(("report", "pr")),
        help="Write the record of each complete goal of the thread: a report, or a pull "
        "request's text; into reports/ beside the database.",
    ),
    click.option(
        "--inline",
        is_flag=True,
        help="Take budgets from the objective's end, in single quotes where one is in $: "
        "'Fix it. budget: 200k, 2h, $5, 20 turns'.",
    ),
    click.option(
        *FLAGS,
        expose_value=False,
        metavar="NAME",
        shell_complete=names_of_templates,
        help="Objective and options of a template; its inputs follow as NAME=VALUE.",
    ),
)
"""What a goal itself is described by, whoever works on it."""
goal_options: Final = options.all_of(
    objective_options,
    turn_worker.described,
    click.option("--replace", is_flag=True, help="Give an unfinished goal up for this one."),
)
"""Everything that a goal and its worker are described by."""
_OF_A_GOAL: Final = options.named(objective_options) | {"replace"}


def objective(text: str, given: dict[str, Any]) -> ObjectiveGiven:
    """Return what gives the goal, with everything checked that can be."""
    cwd = str(places.working_directory())
    limits = Limits(
        tokens=given["tokens"],
        seconds=given["seconds"],
        cost=given["cost"],
        continuations=given["max_continuations"],
    )
    if given["inline"]:
        text, limits = arguments.inline(text, limits)
    _check_routes(given["routes"], limits)
    return ObjectiveGiven(
        objective=arguments.objective(text),
        limits=limits,
        criteria=_criteria(given),
        verifiers=_verifiers(given, cwd),
        until=_until(given, cwd),
        replace=given["replace"],
        policy=dict(given["policy"]) | _written(given),
    )


def _written(given: dict[str, Any]) -> dict[str, Setting]:
    """Return the settings that have options of their own."""
    found: dict[str, Setting] = {}
    if given["on_complete"] is not None:
        found["on_complete"] = given["on_complete"]
    if given["routes"]:
        found["routes"] = "\n".join(given["routes"])
    return found


def _check_routes(texts: tuple[str, ...], limits: Limits) -> None:
    """Raise where a route goes by a budget that the goal is not given: it would never be taken."""
    has = {"tokens": limits.tokens, "time": limits.seconds, "cost": limits.cost}
    for text in texts:
        for route in parse(text):
            if has.get(route.of, 1) is None:
                raise HintedError(
                    f"{text!r} would never be taken: the goal has no budget of {route.of}",
                    f"add --{route.of}, or leave the route out",
                )


def warn(wanted: ObjectiveGiven) -> None:
    """Say on stderr what stands in the way of an acceptance later."""
    checks = [("--verify", one) for one in wanted.verifiers if one.kind == "command"]
    if wanted.until is not None:
        checks.append(("--until", wanted.until))
    for option, one in checks:
        warning = programs.check_verifier(option, one.name, one.argv, one.cwd or ".")
        if warning:
            say(f"goalfsm: {warning}", err=True)


def edited(given: dict[str, Any]) -> dict[str, Any]:
    """Return what changes of a goal's criteria and of what completion is checked by."""
    for drop, names in (
        ("no_criteria", "criteria"),
        ("no_verify", "verifiers"),
        ("no_until", "until"),
    ):
        if given[drop] and given[names]:
            flag = f"--{drop.replace('_', '-')}"
            raise HintedError(f"{flag} and others in their place", f"leave {flag} out")
    fields: dict[str, Any] = {"acceptance": given["acceptance"]}
    if given["criteria"] or given["no_criteria"]:
        fields["criteria"] = _criteria(given)
    cwd = str(places.working_directory())
    fields |= {"until": _until(given, cwd), "no_until": given["no_until"]}
    named = any(
        given[name] not in (None, ())
        for name in ("verify_timeout", "seal", "unsealed", "verify_changed")
    )
    if given["verifiers"] or given["no_verify"] or (named and given["until"] is None):
        fields["verifiers"] = _verifiers({**given, "ask_person": False}, cwd)
    return fields


def _criteria(given: dict[str, Any]) -> tuple[Criterion, ...]:
    return tuple(Criterion(text=arguments.text(t, "criterion")) for t in given["criteria"])


def _verifiers(given: dict[str, Any], cwd: str) -> tuple[Verifier, ...]:
    for name in ("verify_timeout", "seal", "unsealed", "verify_changed"):
        if given[name] not in (None, ()) and not given["verifiers"] and given["until"] is None:
            option = f"--{name.replace('_', '-')}"
            raise HintedError(f"{option}, but no verifier", "add it: --verify CMD")
    commands = tuple(_command("--verify", command, given, cwd) for command in given["verifiers"])
    return (*commands, Verifier(kind="person")) if given["ask_person"] else commands


def _until(given: dict[str, Any], cwd: str) -> Verifier | None:
    return None if given["until"] is None else _command("--until", given["until"], given, cwd)


def _command(option: str, command: str, given: dict[str, Any], cwd: str) -> Verifier:
    from goalfsm.workers import sealing  # noqa: PLC0415  only where one is given
    from goalfsm.workers.supervisor.spawning import split_command  # noqa: PLC0415  the same

    argv = split_command(command)
    programs.check_verifier(option, command, argv, cwd)
    timeout_s = given["verify_timeout"] or _VERIFY_TIMEOUT_S
    found = sealing.seal(argv, cwd, named=given["seal"], unsealed=given["unsealed"])
    return Verifier(
        kind="command",
        name=command,
        argv=argv,
        cwd=cwd,
        timeout_s=timeout_s,
        sealed=tuple(Seal(**asdict(each)) for each in found),
        on_change=given["verify_changed"] or "ask",
    )


def sealed_lines(wanted: ObjectiveGiven) -> list[str]:
    """Return in words what is sealed of each command that completion hangs on."""
    commands = [one for one in wanted.verifiers if one.kind == "command"]
    commands += [] if wanted.until is None else [wanted.until]
    told = (
        f"sealed for {one.name}: {', '.join(each.path for each in one.sealed)}"
        for one in commands
        if one.sealed
    )
    return list(dict.fromkeys(told))


def refuse_goal_options(given: dict[str, Any]) -> None:
    """Raise where an option would be ignored, because it belongs to a new goal."""
    if any(given[name] not in (None, False, ()) for name in _OF_A_GOAL):
        raise HintedError(
            "these options describe a new goal, and no objective was given",
            "goalfsm budget and goalfsm policy change the goal that there is",
        )
