"""The machine outside: clock, zones, processes, time and chance.

It may use `workers.supervisor` for process identity and nothing of the daemon.
"""
