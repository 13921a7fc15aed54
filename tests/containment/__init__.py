"""What users of goal modes complain about, one scenario each, with a hard cap on what it costs."""
