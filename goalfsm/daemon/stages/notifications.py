"""Tell people outside the terminal that a goal has ended or needs them: desktop and webhook.

A notice is sent as the effect of the commit that ended or stopped the goal: at least once, with a
key that is the same each time, so that a receiver can tell a repeat.
"""

from __future__ import annotations

import asyncio
import inspect
import shlex
import shutil
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
import structlog
import tenacity

from goalfsm.errors import GoalError
from goalfsm.goal.machine import GoalMachine, default_machine
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED
from goalfsm.text import line, shortened

if TYPE_CHECKING:
    import apprise

    from goalfsm.daemon.stages.performers import CallbackCall
    from goalfsm.views.status import Status

CALLBACK: Final = "notify"
"""The name by which the goal machine asks for a notice."""
_BY_THEMSELVES: Final = frozenset({"user", "interrupt", "shutdown"})
"""Pauses that somebody asked for: whoever did so knows of them."""
_ATTEMPTS: Final = 4
_TIMEOUT_S: Final = 10.0
_SHOWN: Final = 300
_APPLE_SCRIPT: Final = (
    "on run words\ndisplay notification (item 2 of words) with title (item 1 of words)\nend run"
)

_log = structlog.get_logger(__name__)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where notices go; a webhook has a ``url``, and so has a service that apprise reaches."""

    kind: Literal["desktop", "webhook", "apprise"]
    url: str = ""

    def check(self) -> None:
        """Raise GoalError where nothing can be sent there from this machine."""
        if self.kind == "desktop":
            desktop_program()
            return
        if self.kind == "apprise":
            _service(self.url)
            return
        if not _is_web_address(self.url):
            raise GoalError(
                f"{line(self.url)} is no address that a webhook can have",
                code="webhook_invalid",
                hint="give http:// or https:// with a host, as in https://example.org/hook",
            )

    @property
    def shown(self) -> str:
        """Return the target as people may see it: without what may be secret in an address."""
        if self.kind == "desktop":
            return "desktop"
        parts = urlsplit(self.url)
        if self.kind == "apprise":
            return f"apprise {parts.scheme}://…"  # with many services the rest is the secret
        return f"webhook {parts.scheme}://{_host(parts)}"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is told; equal ``key`` means the same thing, told once more."""

    key: str
    thread_id: str
    goal_id: str
    status: str
    activity: str
    reason: str
    hint: str
    objective: str
    db: str

    @property
    def title(self) -> str:
        """Return the line that a desktop shows first."""
        return f"{self.thread_id}: {self.activity}"

    @property
    def body(self) -> str:
        """Return what a desktop shows below it."""
        told = (self.objective, self.reason, self.hint)
        return "\n".join(shortened(line(text), _SHOWN) for text in told if text)


class Notifier:
    """Sends notes to targets, each in its own time; what cannot be sent is logged."""

    def __init__(self, targets: Sequence[Target], *, db: str = "") -> None:
        """Send to ``targets`` what happens in the database ``db``."""
        self._targets = tuple(targets)
        self._db = db
        self._sending: set[asyncio.Task[None]] = set()

    @staticmethod
    def machine() -> GoalMachine:
        """Return the goal machine that asks for a notice where a goal ends or stops."""
        return default_machine().extended(
            on_enter=dict.fromkeys((COMPLETE, BLOCKED, LIMITED, PAUSED), CALLBACK)
        )

    def callback(
        self, status: Callable[[str], Status | Awaitable[Status]]
    ) -> Callable[[CallbackCall], asyncio.Task[None]]:
        """Return the callback of `machine`; ``status`` tells how a thread stands."""

        def call(asked: CallbackCall) -> asyncio.Task[None]:
            task = asyncio.ensure_future(self._tell(asked, status(asked.thread_id)))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            return task

        return call

    async def sent(self, within_s: float) -> None:
        """Return when everything that is being sent has been, or after that many seconds."""
        await asyncio.sleep(0)
        if self._sending:
            await asyncio.wait(self._sending, timeout=within_s)

    async def send(self, note: Note) -> list[str]:
        """Send a note to every target; return why where it could not be sent."""
        failed = []
        for target in self._targets:
            try:
                await _send(target, note)
            except (OSError, GoalError) as error:
                failed.append(f"{target.shown}: {error}")
        return failed

    async def _tell(self, asked: CallbackCall, found: Status | Awaitable[Status]) -> None:
        status = (await found) if inspect.isawaitable(found) else found
        note = note_of(asked, status, self._db)
        if note is None:
            return
        for why in await self.send(note):
            _log.warning("a notice was not sent", thread_id=asked.thread_id, error=why)


_READ: Final = "goalfsm report THREAD"


def _addressed(hint: str, thread_id: str, db: str) -> str:
    """Return a hint that can be pasted anywhere: with the thread's name and the database."""
    name, place = shlex.quote(thread_id), f" --db {shlex.quote(db)}"
    hint = hint.replace(" --thread THREAD", f" --thread={name}{place}")
    # A name that begins with a dash would be taken for an option.
    word = f"--thread={name}" if thread_id.startswith("-") else name
    return hint.replace(" THREAD", f" {word}{place}")


def note_of(asked: CallbackCall, status: Status, db: str) -> Note | None:
    """Return the notice of a callback; None where who stopped the goal knows, or it goes on."""
    goal = status.goal
    if goal is None or goal.goal_id != asked.goal_id or goal.status != asked.status:
        return None
    if goal.status == PAUSED and goal.pause_reason in _BY_THEMSELVES:
        return None
    if goal.status == ACTIVE and not status.hint:
        return None  # somebody has answered meanwhile
    return Note(
        key=asked.key,
        thread_id=asked.thread_id,
        goal_id=asked.goal_id,
        status=goal.status,
        activity=status.activity,
        reason=status.detail,
        hint=_addressed(
            status.hint or (_READ if goal.status == COMPLETE else ""), asked.thread_id, db
        ),
        objective=goal.objective,
        db=db,
    )


async def _send(target: Target, note: Note) -> None:
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(1 if target.kind == "desktop" else _ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=1, max=30),
        retry=tenacity.retry_if_exception_type(OSError),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            if target.kind == "desktop":
                await _show(note)
            elif target.kind == "apprise":
                await asyncio.to_thread(_hand_over, target, note)
            else:
                await asyncio.to_thread(_post, target.url, note)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _host(parts: SplitResult) -> str:
    """Return the host and the port of an address, without a name and a password before them."""
    return parts.netloc.rpartition("@")[2]


def _post(url: str, note: Note) -> None:
    import urllib.request  # noqa: PLC0415  only where somebody is told so
    from http.client import HTTPException  # noqa: PLC0415  the same

    headers = {"Content-Type": "application/json", "Idempotency-Key": note.key}
    parts = urlsplit(url)
    if parts.username is not None:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(who.encode()).decode()}"
        url = parts._replace(netloc=_host(parts)).geturl()
    request = urllib.request.Request(  # noqa: S310  the scheme was checked
        url, data=msgspec.json.encode(note), headers=headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  the same
            answer.read(1)
    except (HTTPException, ValueError) as error:
        # An answer that is no HTTP, and an address that HTTP cannot carry.
        raise OSError(f"{type(error).__name__}: {error}") from error


def _service(url: str) -> apprise.Apprise:
    """Return what reaches the service of a URL; raise GoalError where there is none."""
    try:
        import apprise  # noqa: PLC0415  it is an extra
    except ImportError:
        raise GoalError(
            "apprise is not installed",
            code="extra_missing",
            hint="pip install 'goalfsm[notify]'; a webhook needs nothing",
        ) from None
    service = apprise.Apprise()
    if not service.add(url):
        raise GoalError(
            f"apprise knows no service of {line(urlsplit(url).scheme) or 'that address'}",
            code="webhook_invalid",
            hint="its address looks like discord://… or mailto://…, as apprise describes it",
        )
    return service


def _hand_over(target: Target, note: Note) -> None:
    if not _service(target.url).notify(title=note.title, body=note.body):
        raise OSError("the service did not take it")


def desktop_program() -> str:
    """Return the program that shows notices on this desktop; raise GoalError without one."""
    name = "osascript" if sys.platform == "darwin" else "notify-send"
    found = shutil.which(name)
    if found is None:
        raise GoalError(
            f"this desktop cannot show notices: there is no {name}",
            code="desktop_missing",
            hint="on Debian: apt-get install libnotify-bin; a webhook needs no desktop",
        )
    return found


async def _show(note: Note) -> None:
    program = desktop_program()
    if sys.platform == "darwin":
        words = ["-e", _APPLE_SCRIPT, note.title, note.body]
    else:
        words = ["--app-name=goalfsm", "--", note.title, note.body]
    process = await asyncio.create_subprocess_exec(
        program, *words, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, complaint = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError:
        process.kill()
        raise
    if process.returncode:
        why = line(complaint.decode(errors="replace"))
        raise OSError(f"{program} exited with {process.returncode}: {why}")
