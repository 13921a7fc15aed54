"""Workers for agents of Python frameworks: pydantic-ai, openai-agents and LangGraph.

They may use the worker's port and `goalfsm.workers.turn`. Each module imports its framework, which
is the user's own dependency, and nothing imports it unasked.
"""
