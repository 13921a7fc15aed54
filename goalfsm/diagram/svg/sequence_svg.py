"""A sequence as SVG: a column for everybody, time runs down."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from goalfsm.diagram.labels import Line
from goalfsm.diagram.model import Frame, Message, Remark, Sequence, Step
from goalfsm.diagram.style import NAME_SIZE, TEXT_SIZE
from goalfsm.diagram.svg.layout.measure import LINE, balanced, text_width
from goalfsm.diagram.svg.layout.place import Frame as Area
from goalfsm.diagram.svg.svg_page import Page

HEAD: Final = 38.0
PAD: Final = 13.0
STEP: Final = 18.0
BETWEEN: Final = 24.0
"""Between a message's text and the lines beside it, both sides together."""
TEXT_LIMIT: Final = 150.0
SELF: Final = 34.0


def render_sequence(sequence: Sequence) -> str:
    """Return ``sequence`` as an SVG document."""
    return _Columns(sequence).draw()


class _Columns:
    """A sequence on its way to a page: where the columns stand, and how far down it got."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.names = [participant.name for participant in sequence.participants]
        self.heads = {
            p.name: text_width(p.text, NAME_SIZE, bold=True) + 2 * PAD
            for p in sequence.participants
        }
        self.depth = max((depth for _, depth in sequence.walk()), default=0) + 1
        self.xs = self._columns()
        self.left = min(self.xs.values()) - max(self.heads[self.names[0]] / 2, 10 + 8 * self.depth)
        self.right = max(self.xs.values()) + max(
            self.heads[self.names[-1]] / 2, self._loose_end(), 10 + 8 * self.depth
        )

    def _loose_end(self) -> float:
        """Return how far what the last column says to itself reaches to its right."""
        last = self.names[-1]
        texts = [
            self._width(step.text)
            for step, _ in self.sequence.walk()
            if isinstance(step, Message) and step.source == step.dest == last
        ]
        return SELF + 10 + max(texts) if texts else 0.0

    def _width(self, text: str) -> float:
        return max(text_width(line, TEXT_SIZE) for line in balanced(text, TEXT_SIZE, TEXT_LIMIT))

    def _columns(self) -> dict[str, float]:
        """Return the columns' places: as near as the texts between them allow."""
        index = {name: at for at, name in enumerate(self.names)}
        least = [(self.heads[a] + self.heads[b]) / 2 + STEP for a, b in pairwise(self.names)]
        spans: list[tuple[int, int, float]] = []
        for step, _ in self.sequence.walk():
            if isinstance(step, Message):
                first, last = sorted((index[step.source], index[step.dest]))
                if first == last:
                    spans.append((first, first + 1, self._width(step.text) + SELF + BETWEEN))
                else:
                    spans.append((first, last, self._width(step.text) + BETWEEN))
        # Short spans first: a long text then only widens what the short ones left too narrow.
        for first, last, width in sorted(spans, key=lambda span: span[1] - span[0]):
            missing = width - sum(least[first:last])
            if missing > 0 and last <= len(least):
                for at in range(first, last):
                    least[at] += missing / (last - first)
        xs = [0.0]
        for gap in least:
            xs.append(xs[-1] + gap)
        return dict(zip(self.names, xs, strict=True))

    def draw(self) -> str:
        """Return the document."""
        # The height is known when everything is drawn: a first page finds it.
        end = self._steps(Page("", 0, 0), self.sequence.steps, HEAD + STEP / 2, 0)
        page = Page(self.sequence.title, self.right - self.left, end + HEAD, self._description())
        for participant in self.sequence.participants:
            x = self.xs[participant.name] - self.left
            page.rule((x, HEAD), (x, end), "lifeline")
        self._steps(page, self.sequence.steps, HEAD + STEP / 2, 0)
        for participant in self.sequence.participants:
            x, width = self.xs[participant.name] - self.left, self.heads[participant.name]
            for y in (0.0, end):
                page.box(Area(x - width / 2, y, width, HEAD), "node", 9)
                page.lines(x, y + (HEAD - NAME_SIZE * LINE) / 2, (participant.text,), "name")
        return page.finish()

    def _description(self) -> str:
        messages = (step for step, _ in self.sequence.walk() if isinstance(step, Message))
        return "; ".join(f"{m.source} to {m.dest}: {' '.join(m.text.split())}" for m in messages)

    def _steps(self, page: Page, steps: tuple[Step, ...], y: float, depth: int) -> float:
        """Draw ``steps`` from ``y`` on and return where they end."""
        for step in steps:
            match step:
                case Message():
                    y = self._message(page, step, y)
                case Remark():
                    y = self._remark(page, step, y)
                case Frame():
                    y = self._frame(page, step, y, depth)
        return y + STEP / 2

    def _message(self, page: Page, message: Message, y: float) -> float:
        start, end = self.xs[message.source] - self.left, self.xs[message.dest] - self.left
        lines = [Line(trigger=line) for line in balanced(message.text, TEXT_SIZE, TEXT_LIMIT)]
        width = max(text_width(line.text, TEXT_SIZE) for line in lines) + 8
        height = len(lines) * TEXT_SIZE * LINE
        classes = "edge reply" if message.reply else "edge"
        if message.source == message.dest:
            middle = y + height / 2 + 6
            page.parts(start + SELF + 6 + width / 2, y + 6, lines)
            page.edge(
                f"M{start} {middle - 8}C{start + SELF} {middle - 14} {start + SELF} {middle + 14}"
                f" {start} {middle + 8}",
                classes,
            )
            return y + max(height, 28) + STEP
        centre = (start + end) / 2
        page.box(Area(centre - width / 2, y, width, height), "label", 3)
        page.parts(centre, y, lines)
        level = y + height + 5
        page.edge(f"M{start:.1f} {level:.1f}L{end:.1f} {level:.1f}", classes)
        return level + STEP

    def _remark(self, page: Page, remark: Remark, y: float) -> float:
        over = [self.xs[name] - self.left for name in self.names if name in remark.over]
        middle = (min(over) + max(over)) / 2
        room = max(max(over) - min(over), TEXT_LIMIT)
        lines = balanced(remark.text, TEXT_SIZE, room)
        width = max(text_width(line, TEXT_SIZE) for line in lines) + 2 * PAD
        width = max(width, max(over) - min(over) + 2 * PAD)
        height = len(lines) * TEXT_SIZE * LINE + 12
        page.box(Area(middle - width / 2, y, width, height), "note", 5)
        page.lines(middle, y + 6, lines, "text", TEXT_SIZE)
        return y + height + STEP

    def _frame(self, page: Page, frame: Frame, y: float, depth: int) -> float:
        inset = 8.0 * depth
        left, right = inset, self.right - self.left - inset
        tag = text_width(frame.kind, TEXT_SIZE, bold=True) + PAD
        height = TEXT_SIZE * LINE + 8
        end = self._steps(page, frame.steps, y + height + STEP / 2, depth + 1)
        page.box(Area(left, y, right - left, end - y), "frame", 6)
        page.box(Area(left, y, tag, height), "tag", 6)
        page.lines(left + tag / 2, y + 4, (frame.kind,), "text kind", TEXT_SIZE)
        page.lines(left + tag + 10, y + 4, (frame.text,), "text start", TEXT_SIZE)
        return end + STEP
