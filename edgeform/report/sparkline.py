"""A few numbers as a line of 120 pixels, with the budget as a dashed one; the numbers stand beside it."""

from collections.abc import Sequence

WIDTH, HEIGHT = 120, 24
MOST = 40


def sparkline(values: Sequence[float], budget: float | None) -> str:
    """The newest values from left to right, from zero upwards; hidden from readers that cannot see it."""
    values = tuple(values)[-MOST:]
    if not values:
        return ""
    top = max(*values, budget or 0.0, 1e-9) * 1.1
    step = WIDTH / max(1, len(values) - 1)
    points = " ".join(f"{n * step:.0f},{_y(v, top):.1f}" for n, v in enumerate(values))
    last = (
        f'<circle cx="{(len(values) - 1) * step:.0f}" cy="{_y(values[-1], top):.1f}" r="2"'
        ' fill="currentColor"/>'
    )
    limit = (
        ""
        if budget is None
        else f'<path d="M0 {_y(budget, top):.1f}H{WIDTH}" stroke="var(--bad)" stroke-dasharray="3 3"/>'
    )
    return (
        f'<svg aria-hidden="true" width="{WIDTH}" height="{HEIGHT}" viewBox="-3 0 {WIDTH + 6} {HEIGHT}">'
        f'{limit}<polyline points="{points}" fill="none" stroke="currentColor"/>{last}</svg>'
    )


def _y(value: float, top: float) -> float:
    return HEIGHT - 2 - (HEIGHT - 4) * min(1.0, max(0.0, value / top))
