"""The supervised child processes of runs: one parent that dies with the daemon.

It may use the operating system; it knows no thread and no goal.
"""
