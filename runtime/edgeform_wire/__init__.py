"""What both sides of the wire agree on: canonical JSON, digests, manifests, receipts, goldens.

Standard library only, Python >= 3.8. Nothing here reads the clock, the network or a configuration.
"""
