"""Sticks for sites without a network: made and verified here, applied there, their receipts brought home."""
