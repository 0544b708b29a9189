"""Whether devices are still what they confirmed: three words (drift, pending, unknown) and held."""
