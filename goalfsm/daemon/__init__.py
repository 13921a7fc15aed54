"""The asyncio engine: it owns a store, runs workers and does what was decided.

It may use stores, workers, sessions and views; it asks sessions for decisions and makes none.
"""
