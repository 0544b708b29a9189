"""Reporters: what is told about the pipeline; `stages.reporters` knows which is which."""
