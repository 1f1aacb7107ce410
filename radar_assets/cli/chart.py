"""Column charts for the terminal, drawn with block characters."""

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"


def columns(values: Sequence[float], height: int = 5, width: int = 2) -> list[str]:
    """The lines of a column chart from 0 to the largest value, top line first.

    Args:
        height: number of lines.
        width: characters per column, including the gap to the next one.
    """
    top = max(values, default=0) or 1
    eighths = [round(max(value, 0) / top * height * 8) for value in values]
    gap = " " if width > 1 else ""
    return [
        "".join(BLOCKS[min(max(filled - 8 * line, 0), 8)] * (width - len(gap)) + gap for filled in eighths)
        for line in reversed(range(height))
    ]
