"""What edgeform says to other systems: CI templates, comments on a change, metrics and alert rules."""
