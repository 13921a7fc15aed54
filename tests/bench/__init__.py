"""Measurements beside peers, in one run: ``python -m tests.bench``."""
