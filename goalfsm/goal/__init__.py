"""One goal: its values, its machine, its transitions and its accounting.

It may use errors and text; it does no I/O.
"""
