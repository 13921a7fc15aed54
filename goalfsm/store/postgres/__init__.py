"""Threads in PostgreSQL: its tables.

It may use the store's port, errors and psycopg, which the extra `cluster` brings.
"""
