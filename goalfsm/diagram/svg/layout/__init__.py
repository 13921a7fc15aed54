"""A layered layout for state diagrams, in plain Python.

It needs nothing installed and gives the same drawing on every machine, so that a generated
picture can be compared with the one that is checked in.
"""
