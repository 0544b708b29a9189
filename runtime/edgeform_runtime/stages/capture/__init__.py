"""Sources: where frames come from, one module per family; `stages.sources` knows which is which."""
