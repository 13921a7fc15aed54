"""The machine outside: time, zones, chance, tasks and processes.

It may use `workers.supervisor` for process identity and nothing of the daemon.
"""
