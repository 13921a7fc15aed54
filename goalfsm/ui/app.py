"""The interface itself: which screen is shown, which key asks for what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from msgspec.structs import replace
from rich.markdown import Markdown
from rich.text import Text
from textual.app import App

from goalfsm.daemon.flow import notices
from goalfsm.daemon.remote.narrating import Narrator
from goalfsm.errors import GoalError
from goalfsm.goal.model import COMPLETE
from goalfsm.text import visible
from goalfsm.ui import asking, giving
from goalfsm.ui.following import Follower
from goalfsm.ui.forms import Choice, Form, Page
from goalfsm.ui.queue import QueueScreen
from goalfsm.ui.screens import GoalScreen, GoalsScreen
from goalfsm.ui.source import Look, Source
from goalfsm.views.actions import Action, Name, actions
from goalfsm.views.report import CompletionRecord, markdown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    from textual.binding import BindingType

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.session.events import Event
    from goalfsm.ui.giving import Wanted

LOOK_S: Final = 1.0
"""How often what is shown is read anew; what an engine tells is shown at once."""
_YES: Final = "yes"
HELP: Final = """\
n  new goal, from a template or without     w  why it last went on, waited or stopped
s  steer: tell the work something           r  report: criteria, evidence, verifiers
p  pause, or resume                         l  list of all goals
e  edit the objective                       !  the command that takes the work on
b  change budgets                           /  find a goal in the list
a  accept the completion claim              ?  this help
x  reject it, with feedback                 q  quit: the work goes on
i  interrupt the running turn
c  clear: give the goal up                  g  queue: the goals that come after this one
                                            enter  what is possible now; esc  back

Nothing here drives a goal. goalfsm run and goalfsm daemon do; what is asked here is recorded
where nobody does, and taken up by the next one.
"""


class Surroundings(NamedTuple):
    """What the interface is given by whoever starts it.

    ``speak`` puts a thread's name into a command line; ``give`` runs ``goalfsm set`` or ``goalfsm
    queue add`` with these words for a thread and returns whether it worked, and what it said.
    """

    directory: Path
    speak: Callable[[str, str], str]
    give: Callable[[str, str, Sequence[str]], tuple[bool, str]]


class GoalsApp(App[None]):
    """Goals, looked at and talked to from a terminal."""

    TITLE = "goalfsm"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("n", "ask('new')", "New"),
        ("s", "ask('steer')", "Steer"),
        ("p", "pause_or_resume", "Pause/resume"),
        ("e", "ask('edit')", "Edit"),
        ("b", "ask('budget')", "Budget"),
        ("a", "ask('accept')", "Accept"),
        ("x", "ask('reject')", "Reject"),
        ("i", "ask('interrupt')", "Interrupt"),
        ("w", "why", "Why"),
        ("g", "queue", "Queue"),
        ("l", "goals", "Goals"),
        ("r", "report", "Report"),
        ("c", "ask('clear')", "Clear"),
        ("exclamation_mark", "command", "Command"),
        ("slash", "find", "Find"),
        ("question_mark", "help", "Help"),
        ("q", "quit", "Quit"),
        ("enter", "menu", "Menu"),
    ]

    def __init__(self, source: Source, around: Surroundings, thread_id: str | None = None) -> None:
        """Show ``thread_id``, or all threads."""
        super().__init__()
        self._source, self._around, self._first = source, around, thread_id
        self._goals = GoalsScreen()
        self._goal: GoalScreen | None = None
        self._follower: Follower | None = None
        self._narrator = Narrator()
        self._looking = asyncio.Lock()

    async def on_mount(self) -> None:
        """Show the first screen, and keep it up to date."""
        await self.push_screen(self._goals)
        if self._first is not None:
            await self._open(self._first)
        await self.refresh_now()
        self.set_interval(LOOK_S, self.refresh_now)

    def on_unmount(self) -> None:
        """Follow nobody any more."""
        if self._follower is not None:
            self._follower.stop()

    async def refresh_now(self) -> None:
        """Read the shown thread or list anew."""
        if self._looking.locked():
            return
        async with self._looking:
            goal = self._goal
            try:
                if goal is None:
                    names = await asyncio.to_thread(self._source.names)
                    wanted = self._goals.wanted(names) if self._goals.is_drawn else ()
                    found = await asyncio.to_thread(self._source.rows, wanted)
                    if self._goals.is_drawn:
                        self._goals.show(names, found, self._source.problems())
                else:
                    self._show(goal, await asyncio.to_thread(self._source.look, goal.thread_id))
            except (GoalError, OSError) as error:
                self._complain(error)

    def _show(self, screen: GoalScreen, look: Look) -> None:
        # The person may have left it, or everything, while it was read.
        if screen is not self._goal or not screen.is_drawn:
            return
        hint = "" if look.status is None else look.status.hint
        spoken = self._around.speak(hint, screen.thread_id) if hint else ""
        screen.show(look, self._source.now_ms(), spoken)
        if isinstance(self.screen, QueueScreen) and look.status is not None:
            self.screen.show(look.status)

    async def _open(self, thread_id: str) -> None:
        self._goal = GoalScreen(thread_id)
        self._narrator = Narrator()
        await self.push_screen(self._goal)
        self._follower = Follower(self._source, thread_id, self._hear)
        self._follower.start()

    def _hear(self, thread_id: str, notice: Notice) -> None:
        """Bring a notice from the follower's thread to this one."""
        if self.is_running:
            self.call_later(self._told, thread_id, notice)

    async def _told(self, thread_id: str, notice: Notice) -> None:
        screen = self._goal
        if screen is None or screen.thread_id != thread_id or not screen.is_drawn:
            return
        for row in self._narrator.lines(notice):
            screen.tell(row)
        if isinstance(notice, notices.StatusChanged | notices.Settled | notices.Ended):
            await self.refresh_now()

    # What keys do.

    async def on_data_table_row_selected(self) -> None:
        """Open the chosen thread."""
        await self.action_menu()

    async def on_data_table_row_highlighted(self) -> None:
        """Read what the cursor has come to, where that was not in sight before."""
        if self._goal is None and not self._goals.knows(self._goals.chosen()):
            await self.refresh_now()

    async def action_menu(self) -> None:
        """Open the chosen thread, or offer what is possible on the open one."""
        if self._goal is None:
            chosen = self._goals.chosen()
            if chosen is not None:
                await self._open(chosen)
                await self.refresh_now()
            return
        offered = self._actions()
        rows = [(one.name, _keyed(one), self._speak(one.command)) for one in offered]
        self.push_screen(Choice("What now?", rows), self._chosen)

    def _chosen(self, name: str | None) -> None:
        if name is not None:
            self._start(name)

    async def action_goals(self) -> None:
        """Go back to all goals."""
        if self._goal is None:
            return
        if self._follower is not None:
            self._follower.stop()
        self._goal = self._follower = None
        await self.pop_screen()
        await self.refresh_now()

    async def key_escape(self) -> None:
        """Go back to all goals from an open one."""
        if self.screen is self._goal:
            await self.action_goals()

    async def action_find(self) -> None:
        """Find a goal: in the list."""
        await self.action_goals()
        self._goals.action_find()

    def action_help(self) -> None:
        """Show the keys and what each of them does."""
        self.push_screen(Page("Keys", Text(HELP)))

    async def action_why(self) -> None:
        """Show the chain of decisions."""
        await self._page("Why", self._source.why)

    async def action_report(self) -> None:
        """Show the goal's record."""
        await self._page("Report", self._source.report)

    async def _page(self, title: str, read: Callable[[str], Any]) -> None:
        thread_id = self._thread()
        if thread_id is None:
            return
        try:
            found = await asyncio.to_thread(read, thread_id)
        except (GoalError, OSError) as error:
            self._complain(error)
            return
        if isinstance(found, CompletionRecord):
            said = replace(found, hint=self._around.speak(found.hint, thread_id))
            self.push_screen(Page(title, Markdown(markdown(said))))
            return
        words = "\n".join(self._around.speak(row, thread_id) for row in found)
        self.push_screen(Page(title, Text(visible(words))))

    async def action_queue(self) -> None:
        """Show the goals that come after this one."""
        if self._goal is None:
            await self.action_menu()
        look = None if self._goal is None else self._goal.look
        if look is None or look.status is None:
            self.notify("There is no goal yet that others could come after.", severity="warning")
            return
        thread_id = look.status.thread_id
        self.push_screen(
            QueueScreen(
                look.status,
                speak=lambda hint: self._around.speak(hint, thread_id),
                send=lambda event: self._spawn(self._send(thread_id, event)),
                add=lambda: self._spawn(self._queue_another(thread_id)),
            )
        )

    def action_command(self) -> None:
        """Show the command lines of all that is possible, and copy the one that takes work on."""
        offered = [action for action in self._actions() if action.command]
        look = None if self._goal is None else self._goal.look
        hint = "" if look is None or look.status is None else self._speak(look.status.hint)
        if hint:
            self.copy_to_clipboard(hint)
        rows = [f"{action.words:<22}{self._speak(action.command)}" for action in offered]
        first = [f"{'now (copied)':<22}{hint}", ""] if hint else []
        self.push_screen(Page("The same from a shell", Text("\n".join([*first, *rows]))))

    def action_pause_or_resume(self) -> None:
        """Pause what goes on, resume what is paused."""
        names = {action.name for action in self._actions()}
        self._start("resume" if "resume" in names else "pause")

    def action_ask(self, name: str) -> None:
        """Ask for something; what has to be known for it is asked of the person first."""
        self._start(name)

    # What is asked.

    def _start(self, name: str) -> None:
        self._spawn(self._asked(name))

    def _spawn(self, asking_of_it: Coroutine[Any, Any, None]) -> None:
        self.run_worker(asking_of_it, group="asking", exclusive=True)

    async def _asked(self, name: str) -> None:
        if self._goal is None and name != "new":
            await self.action_menu()
        if name == "new":
            await self._new()
            return
        look = None if self._goal is None else self._goal.look
        action = next((one for one in self._actions() if one.name == name), None)
        if action is None or look is None or look.status is None:
            self.notify(f"There is nothing to {name} now.", severity="warning")
            return
        given = await self._filled(action, look)
        if given is None:
            return
        try:
            asked = asking.event(action.name, look.status, given)
        except GoalError as error:
            self._complain(error)
            return
        await self._send(look.status.thread_id, asked)

    async def _send(self, thread_id: str, event: Event) -> None:
        try:
            reply = await asyncio.to_thread(self._source.send, thread_id, event)
        except (GoalError, OSError) as error:
            self._complain(error)
            return
        hint = f"\n{self._around.speak(reply.hint, thread_id)}" if reply.hint else ""
        words = reply.message or reply.code.replace("_", " ")
        self.notify(f"{words}{hint}", severity="information" if reply.ok else "error", markup=False)
        await self.refresh_now()

    async def _filled(self, action: Action, look: Look) -> dict[str, str] | None:
        """Return what a person fills in for an action; None where it is given up."""
        status = look.status
        if status is None:
            return None
        wanted = asking.fields(action.name, status)
        if wanted:
            title = action.words.capitalize()
            return await self.push_screen_wait(
                Form(title, wanted, command=self._speak(action.command))
            )
        if action.name == "clear" and not await self._sure("Give the goal up?", "clear it"):
            return None
        return {}

    async def _sure(self, question: str, words: str) -> bool:
        choices = (("no", "no, leave it", ""), (_YES, f"yes, {words}", ""))
        return await self.push_screen_wait(Choice(question, choices)) == _YES

    async def _new(self) -> None:
        """Give a goal: which template, its inputs, and whether an unfinished goal is given up."""
        look = None if self._goal is None else self._goal.look
        goal = None if look is None or look.status is None else look.status.goal
        replace = goal is not None and goal.status != COMPLETE
        if replace and not await self._sure("The goal is unfinished. Replace it?", "replace it"):
            return
        asked = giving.set_anew(self, self._around.directory, self._thread() or self._first or "")
        wanted = await self._described(asked)
        if wanted is None:
            return
        thread_id, words = wanted
        words = [*(["--replace"] if replace else []), *words]
        worked = await self._give("set", thread_id, words)
        if worked and thread_id and self._goal is None:
            await self._open(thread_id)
        await self.refresh_now()

    async def _queue_another(self, thread_id: str) -> None:
        """Queue a goal: which template, its inputs or what it is described by."""
        command = self._speak("goalfsm queue add THREAD OBJECTIVE")
        asked = giving.queued(self, self._around.directory, thread_id, command)
        wanted = await self._described(asked)
        if wanted is not None:
            await self._give("queue add", *wanted)
            await self.refresh_now()

    async def _described(self, asked: Awaitable[Wanted | None]) -> Wanted | None:
        try:
            return await asked
        except GoalError as error:
            self._complain(error)
            return None

    async def _give(self, command: str, thread_id: str, words: Sequence[str]) -> bool:
        worked, said = await asyncio.to_thread(self._around.give, command, thread_id, words)
        self.notify(said, severity="information" if worked else "error", markup=False)
        return worked

    def _thread(self) -> str | None:
        return self._goals.chosen() if self._goal is None else self._goal.thread_id

    def _actions(self) -> tuple[Action, ...]:
        look = None if self._goal is None else self._goal.look
        return () if look is None or look.status is None else actions(look.status)

    def _speak(self, command: str) -> str:
        thread_id = self._thread()
        return self._around.speak(command, thread_id) if thread_id and command else ""

    def _complain(self, error: GoalError | OSError) -> None:
        hint = getattr(error, "hint", "")
        words = f"{error}\nHint: {hint}" if hint and "Hint:" not in str(error) else f"{error}"
        self.notify(words, severity="error", markup=False)


def _keyed(action: Action) -> str:
    return f"{action.key or ' '}  {action.words}"


__all__ = ["GoalsApp", "Name", "Surroundings"]
