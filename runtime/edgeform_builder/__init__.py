"""What runs in a builder's closure: one step of a recipe, files in, files out. Never imports edgeform."""
