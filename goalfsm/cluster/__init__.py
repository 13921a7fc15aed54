"""Goals on more than one machine: PostgreSQL is the only authority, turns and timers are jobs.

It may use everything below it in the house, and PostgreSQL; nothing below imports it.
"""
