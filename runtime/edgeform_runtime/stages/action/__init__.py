"""Sinks: what a result does, one module per family; `stages.sinks` knows which is which."""
