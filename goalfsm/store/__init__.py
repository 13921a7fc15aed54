"""Where threads are kept: what a store has to do, in memory and in SQLite.

It may use errors and text; it decides nothing and knows no session, only its bytes.
"""
