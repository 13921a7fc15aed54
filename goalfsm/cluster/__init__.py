"""Goals on more than one machine: PostgreSQL is the only authority, turns and timers are jobs.

May touch everything below it in the house, and PostgreSQL; nothing below imports it.
"""
