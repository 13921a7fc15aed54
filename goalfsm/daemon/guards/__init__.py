"""What is not the normal way: ownership, takeover, outage, quarantine, drain, upkeep.

It may use stages, flow and host; only the engine composes it.
"""
