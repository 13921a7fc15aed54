"""Real coding agents, driven offline against scripted providers on loopback."""
