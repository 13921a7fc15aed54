"""The engine on virtual time, with everything broken that can break, seed by seed."""
