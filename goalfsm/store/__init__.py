"""Where threads are kept: what a store has to do, in memory and in SQLite."""
