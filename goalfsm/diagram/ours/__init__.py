"""The drawings of the machines of goalfsm itself.

It may use the session, its rules and the renderers.
"""
