"""What the tool's sentences are made of; what was measured stays a number beside them."""

_STEP = 1024


def shown_bytes(count: int) -> str:
    """`512 B`, `4 KiB`, `81.2 MiB`: binary units, as limits of memory are written."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < _STEP or unit == "GiB":
            break
        size /= _STEP
    text = f"{size:.0f}" if unit == "B" else f"{size:.1f}".replace(".0", "")
    return f"{text} {unit}"


def sentence(text: str) -> str:
    """The text as a sentence that another one may follow."""
    return text if text.endswith((".", "!", "?")) else text + "."
