"""Examples that run: goals with workers and verifiers of their own.

They may use what an embedder may: the public names of goalfsm.
"""
