"""Other processes: the socket, its server and clients, and commands without an engine.

It may use the ports of the daemon; only the engine and front ends use it.
"""
