"""Builders: model variants, runtime closures, the device tool."""
