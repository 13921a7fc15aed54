"""The prompts of a goal's turns: templates and their rendering.

They may use sessions and goals, to read them; they do no I/O.
"""

from goalfsm.views.prompts.turn import (
    NothingToDo,
    Part,
    carried,
    contents,
    last_answer,
    render_turn,
    steering_text,
    wind_down_text,
)

__all__ = [
    "NothingToDo",
    "Part",
    "carried",
    "contents",
    "last_answer",
    "render_turn",
    "steering_text",
    "wind_down_text",
]
