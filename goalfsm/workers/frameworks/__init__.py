"""Workers for agents of Python frameworks: pydantic-ai, openai-agents and LangGraph.

Each module imports its framework, which is the user's own dependency, and nothing imports it
unasked; all stand on `goalfsm.workers.turn`.
"""
