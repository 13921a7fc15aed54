"""Which row a node goes to: edges point down, and their total length is as short as it can be.

Cycles are broken depth first from the roots, so that the way that a reader follows runs down and
what leads back runs up. Rows come from the network simplex method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

ROUNDS: Final = 400
"""Exchanges after which rows are good enough: only graphs of hundreds of nodes get there."""


class Span(NamedTuple):
    """``upper`` is at least ``least`` rows above ``lower``; a heavy one is kept shorter."""

    upper: str
    lower: str
    least: int = 1
    weight: int = 1


def backward(
    nodes: Sequence[str], arrows: Iterable[tuple[str, str]], roots: Iterable[str]
) -> frozenset[tuple[str, str]]:
    """Return the arrows to turn round so that none leads back, following ``roots`` first."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, dest in arrows:
        if dest not in after[source]:
            after[source].append(dest)
    found: set[tuple[str, str]] = set()
    done: set[str] = set()
    for root in (*roots, *nodes):
        if root in done:
            continue
        path = {root: None}
        stack = [(root, iter(after[root]))]
        while stack:
            node, rest = stack[-1]
            for dest in rest:
                if dest in path:
                    found.add((node, dest))
                elif dest not in done:
                    path[dest] = None
                    stack.append((dest, iter(after[dest])))
                    break
            else:
                stack.pop()
                path.pop(node)
                done.add(node)
    return frozenset(found)


def rank(nodes: Sequence[str], spans: Sequence[Span]) -> dict[str, int]:
    """Return the row of every node, the uppermost is 0. ``spans`` must be free of cycles."""
    if not nodes:
        return {}
    spans = [*spans, *_joints(nodes, spans)]
    rows = _longest_path(nodes, spans)
    tree = _tight_tree(nodes, spans, rows)
    for _ in range(ROUNDS):
        leaving = _slack_to_gain(nodes, spans, tree)
        if leaving is None:
            break
        edge, below = leaving
        entering = min(
            (s for s in spans if s.upper in below and s.lower not in below),
            key=lambda s: rows[s.lower] - rows[s.upper] - s.least,
            default=None,
        )
        if entering is None:
            break
        slack = rows[entering.lower] - rows[entering.upper] - entering.least
        for node in below:
            rows[node] += slack
        tree = [entering if span is edge else span for span in tree]
    top = min(rows.values())
    return {node: row - top for node, row in rows.items()}


def _joints(nodes: Sequence[str], spans: Iterable[Span]) -> list[Span]:
    """Return weightless spans that connect what nothing connects: a tree needs one piece."""
    piece = {node: node for node in nodes}

    def find(node: str) -> str:
        while piece[node] != node:
            node = piece[node]
        return node

    for span in spans:
        piece[find(span.upper)] = find(span.lower)
    heads = list(dict.fromkeys(find(node) for node in nodes))
    return [Span(heads[0], head, 0, 0) for head in heads[1:]]


def _longest_path(nodes: Sequence[str], spans: Sequence[Span]) -> dict[str, int]:
    rows = dict.fromkeys(nodes, 0)
    waiting = dict.fromkeys(nodes, 0)
    below: dict[str, list[Span]] = {node: [] for node in nodes}
    for span in spans:
        waiting[span.lower] += 1
        below[span.upper].append(span)
    ready = [node for node in nodes if waiting[node] == 0]
    while ready:
        for span in below[ready.pop()]:
            rows[span.lower] = max(rows[span.lower], rows[span.upper] + span.least)
            waiting[span.lower] -= 1
            if waiting[span.lower] == 0:
                ready.append(span.lower)
    return rows


def _tight_tree(nodes: Sequence[str], spans: Sequence[Span], rows: dict[str, int]) -> list[Span]:
    """Return a spanning tree of spans without slack, moving ``rows`` together where needed."""
    inside = {nodes[0]}
    tree: list[Span] = []
    while len(inside) < len(nodes):
        border = [span for span in spans if (span.upper in inside) != (span.lower in inside)]
        slack, index = min(
            (rows[span.lower] - rows[span.upper] - span.least, index)
            for index, span in enumerate(border)
        )
        span = border[index]
        if slack:
            shift = slack if span.lower not in inside else -slack
            for node in inside:
                rows[node] += shift
        tree.append(span)
        inside |= {span.upper, span.lower}
    return tree


def _slack_to_gain(
    nodes: Sequence[str], spans: Sequence[Span], tree: Sequence[Span]
) -> tuple[Span, set[str]] | None:
    """Return a tree span to give up with the nodes on its lower side, or None at the optimum."""
    beside: dict[str, list[Span]] = {node: [] for node in nodes}
    for span in tree:
        beside[span.upper].append(span)
        beside[span.lower].append(span)
    for edge in tree:
        below = _side(edge.lower, edge, beside)
        cut = 0
        for span in spans:
            enters, leaves = span.lower in below, span.upper in below
            if enters != leaves:
                cut += span.weight if enters else -span.weight
        if cut < 0:
            return edge, below
    return None


def _side(start: str, without: Span, beside: Mapping[str, Sequence[Span]]) -> set[str]:
    found = {start}
    queue = [start]
    while queue:
        for span in beside[queue.pop()]:
            if span is not without:
                for end in (span.upper, span.lower):
                    if end not in found:
                        found.add(end)
                        queue.append(end)
    return found
