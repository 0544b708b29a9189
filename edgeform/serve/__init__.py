"""The fleet's page served live, read-only: the same sections as the static file, renewed as they change."""
