"""The operators of the stages out of merged and proven values: one module per stage, `OPERATORS` by kind."""
