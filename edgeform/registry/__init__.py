"""Where source models come from: one contract (`base`), one file for each kind of registry."""
