"""Goals as Codex's app-server speaks of them, for clients that were written for it.

It may use `daemon`, the session's events and the goal's values; it has no rules of its own. What a
message says is in `goalfsm.appserver.protocol` and `goalfsm.appserver.goals`, which are pure.
"""
