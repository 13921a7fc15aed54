"""What follows a commit: each stage sees what has landed, each performer does an effect.

It may use flow and host; no stage knows the engine or a guard.
"""
