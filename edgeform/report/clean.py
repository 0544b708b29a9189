"""Text from elsewhere, made harmless for a terminal and a log: one line, no control characters."""

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0))}
_ESCAPED |= {ord("\n"): " ", ord("\t"): " ", 0x2028: " ", 0x2029: " "}
# Characters that turn the direction of writing can make a line read as its opposite.
_ESCAPED |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def one_line(text: str) -> str:
    """The text on one line, with everything that steers a terminal shown instead of obeyed."""
    return harmless(text.strip())


def harmless(text: str) -> str:
    """The same for a line whose indentation means something."""
    return text.translate(_ESCAPED)
