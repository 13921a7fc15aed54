"""The templates that come with goalfsm, one file each.

It may use nothing: it holds data alone.
"""
