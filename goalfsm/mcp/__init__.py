"""The goal's tools over the Model Context Protocol, for agents that goalfsm does not start itself.

It may use `daemon.remote`, the session's tools and views; it has no rules of its own. What it needs
comes with the extra ``mcp`` and is imported by `goalfsm.mcp.server` alone.
"""
