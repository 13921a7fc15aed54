"""Have the nodes of a server drive a thread, and watch them from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.cli import asking, exits
from goalfsm.cli.errand import Over

if TYPE_CHECKING:
    from goalfsm.cli.errand import Errand
    from goalfsm.cluster.client import ClusterClient
    from goalfsm.store.address import Server
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
            _tell_who(errand, status)
            over = _watch(errand, client, seen)
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
    with client.program(thread_id, errand.program()):
        if event is not None:
            errand.check(client.request(thread_id, event, errand.event_id))
    return revision


def _watch(errand: Errand, client: ClusterClient, seen: int) -> Over:
    for notice in client.follow(errand.place.thread_id, after_revision=seen):
        errand.note(notice)
        if errand.changed(notice):
            over = errand.look(client.status(errand.place.thread_id))
            if over is not None:
                return over
    raise AssertionError  # pragma: no cover - following ends with the errand


def _tell_who(errand: Errand, status: Status) -> None:
    """Say who can work on the thread; that nobody can is said by its status."""
    driver = status.driver
    if driver is not None and driver.nodes:
        errand.view.say(f"following {', '.join(driver.nodes)}; Ctrl-C stops that, and nothing else")
