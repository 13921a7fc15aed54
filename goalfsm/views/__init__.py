"""What people and models read of a session.

It may use sessions and goals; it decides nothing and does no I/O.
"""
