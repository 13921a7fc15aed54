"""The terminal interface: it shows the one projection and sends the one event family.

It may use views, the clients of the daemon, templates and Textual; it has no rules of its own.
"""
