"""One event on its way: inbox, decide, commit.

It may use the store, the session and `host`; it knows no stage and no engine.
"""
