"""Looking at devices: one round trip each, read-only, and the pure parsers of what comes back."""
