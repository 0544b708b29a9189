"""The one family of errors of the wire: what was received is not what was agreed."""


class WireError(ValueError):
    """The bytes or the document do not have the agreed form; nothing may be done with them."""
