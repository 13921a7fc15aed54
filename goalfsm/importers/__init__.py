"""Goals that other programs keep: read from their files as they are, and nothing is changed there.

It may use errors and text; it knows no thread and no store of ours.
"""
