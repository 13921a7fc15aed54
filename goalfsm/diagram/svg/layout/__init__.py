"""A layered layout for state diagrams, in plain Python.

It may use nothing but names of directions. It gives the same drawing on every machine, so that a
generated picture can be compared with the one that is checked in.
"""
