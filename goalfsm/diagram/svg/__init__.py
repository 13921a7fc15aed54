"""SVG drawings.

It may use the model of a diagram and its own layout.
"""
