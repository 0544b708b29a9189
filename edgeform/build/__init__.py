"""Artifacts from source: model artifacts with goldens, runtime closures; same inputs, same bytes."""
