"""The asyncio engine: it owns a store, runs workers and does what was decided."""
