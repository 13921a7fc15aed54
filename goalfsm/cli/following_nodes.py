"""Have the nodes of a server drive a thread, and watch them from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.cli import asking, exits
from goalfsm.cli.errand import Over
from goalfsm.daemon.flow.notices import Settled, StatusChanged
from goalfsm.views.activity import unserved

if TYPE_CHECKING:
    from goalfsm.cli.errand import Errand
    from goalfsm.cluster.client import ClusterClient
    from goalfsm.store.address import Server
    from goalfsm.views.parts import Driver
    from goalfsm.views.status import Status


def follow(errand: Errand, server: Server) -> Over:
    """Ask for what the errand is about, and watch until it is over; no node has to be up."""
    client, view = asking.cluster(server), errand.view
    thread_id = errand.place.thread_id
    client.prepare()
    try:
        seen = _begin(errand, client)
        status = client.status(thread_id)
        over = errand.begin(status)
        if over is None:
            drivers = Drivers(errand)
            drivers.look(status)
            over = _watch(errand, client, drivers, seen)
    except KeyboardInterrupt:
        view.say("stopped following; the nodes go on with the goal")
        return Over(exits.INTERRUPTED)
    errand.close(over)
    return over


def _begin(errand: Errand, client: ClusterClient) -> int:
    """Ask for what has to be asked; return the revision up to which nothing is news."""
    thread_id = errand.place.thread_id
    session, revision = client.session(thread_id)
    event = errand.opening(session)
    program = errand.program()
    if event is not None:
        errand.check(client.request(thread_id, event, errand.event_id, program=program))
    elif program is not None:
        client.put_program(thread_id, program)
    return revision


def _watch(errand: Errand, client: ClusterClient, drivers: Drivers, seen: int) -> Over:
    for notice in client.follow(errand.place.thread_id, after_revision=seen):
        errand.note(notice)
        if not isinstance(notice, StatusChanged | Settled):
            continue
        drivers.look(notice.status)
        if errand.changed(notice):
            over = errand.gone_on(client, errand.look(notice.status))
            if over is not None:
                return over
    raise AssertionError  # pragma: no cover - following ends with the errand


class Drivers:
    """Tells which node works on the thread, when that changes."""

    def __init__(self, errand: Errand) -> None:
        """Tell who works on the thread by the errand's view."""
        self._say = errand.view.say
        self._told = ""

    def look(self, status: Status) -> None:
        """Say which node has the turn, which ones would take it, or why none does."""
        said = "" if status.driver is None else self._words(status.driver)
        if said and said != self._told:
            self._told = said
            self._say(said)

    def _words(self, driver: Driver) -> str:
        if driver.alive and driver.pid is not None:
            return f"node {driver.node} on {driver.host} has the turn"
        if not driver.nodes:
            return unserved(driver)
        if self._told:
            return ""
        return f"following {', '.join(driver.nodes)}; Ctrl-C stops that, and nothing else"
