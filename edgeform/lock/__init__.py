"""Registries' answers and build outputs into `edgeform.lock`; reading and writing that file."""
