"""Coding agents as workers: each speaks its own line protocol on pipes that we supervise.

It may use the worker's port and the supervisor; a dialect does no I/O.
"""
