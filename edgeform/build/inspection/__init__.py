"""What model files are, seen without running anything: recognised by content, hazards named."""
