"""A small plot for the metadata of a check: the UI doesn't plot numbers there, but shows images in Markdown."""

import base64
from collections.abc import Sequence
from datetime import datetime

from radar_assets.alerts.rules import Rule

WIDTH, HEIGHT, MARGIN = 480, 96, 6
_LINE, _BOUND, _TEXT = "#4f43dd", "#d24a3a", "#6b7280"


def sparkline(values: Sequence[tuple[datetime, float]], rule: Rule) -> str:
    """The values by time and the threshold, as an image in Markdown. It contains no text of users, only numbers."""
    threshold = rule.threshold or 0.0
    numbers = [value for _, value in values]
    low, high = min(*numbers, threshold), max(*numbers, threshold)
    spread = (high - low) or 1.0
    first, last = values[0][0], values[-1][0]
    length = (last - first).total_seconds() or 1.0

    def x(at: datetime) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (at - first).total_seconds() / length

    def y(value: float) -> float:
        return HEIGHT - 20 - (HEIGHT - 20 - MARGIN) * (value - low) / spread

    path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in values)
    dots = "".join(f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="2" fill="{_LINE}"/>' for at, value in values)
    bound = f"{y(threshold):.1f}"
    unit = " %" if rule.operator == "change_pct" else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="10">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{bound}" y2="{bound}" stroke="{_BOUND}" stroke-dasharray="4 3"/>'
        f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>{dots}'
        f'<text x="{MARGIN}" y="{HEIGHT - 5}" fill="{_TEXT}">{first:%Y-%m-%d %H:%M}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 5}" fill="{_TEXT}" text-anchor="end">{last:%Y-%m-%d %H:%M}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 5}" fill="{_TEXT}" text-anchor="middle">'
        f"{low:.4g}{unit} to {high:.4g}{unit}, dashed: {threshold:g}{unit}</text></svg>"
    )
    image = base64.b64encode(svg.encode()).decode()
    return f"![values by window](data:image/svg+xml;base64,{image})"
