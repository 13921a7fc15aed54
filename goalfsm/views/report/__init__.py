"""The completion record of a goal: gathered from its session and journal, as data and as text.

It may use sessions, goals and rows of a journal, to read them; it does no I/O.
"""

from goalfsm.views.report.completion import CompletionRecord, Facts, NoRecord, gather, record
from goalfsm.views.report.rendering import as_json, code, markdown, pull_request, title

__all__ = [
    "CompletionRecord",
    "Facts",
    "NoRecord",
    "as_json",
    "code",
    "gather",
    "markdown",
    "pull_request",
    "record",
    "title",
]
