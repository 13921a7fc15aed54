"""Examples that run: goals with workers and verifiers of their own."""
