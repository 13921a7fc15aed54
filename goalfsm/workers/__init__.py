"""What does the work of a turn: programs under a supervisor, functions, and verifiers."""
