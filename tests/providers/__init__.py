"""Scripted model providers on loopback, for tests that drive real agents without a network.

They speak three wire formats, streaming: OpenAI Responses, Anthropic Messages and OpenAI Chat
Completions. They may import nothing of goalfsm.
"""
