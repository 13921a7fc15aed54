"""What each event does to a thread, one concern a file.

It may use the values of `session`; only `session.thread` imports it.
"""
