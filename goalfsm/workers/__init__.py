"""What does the work of a turn: programs under a supervisor, functions, and verifiers.

They may use errors and text; they know no thread and no goal, only the work of a turn.
"""
