"""Generated blocks and files of documentation.

It may use the renderers and `ours`.
"""
