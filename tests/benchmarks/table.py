"""The table on the terminal."""

from __future__ import annotations

from .figures import Figure

WIDTHS = (58, 12, 12, 7, 8, 7)


def head() -> str:
    return _row("Figure", "ours", "beside", "ratio", "target", "") + "beside what"


def line(figure: Figure) -> str:
    cells = (figure.name, _number(figure.ours, figure.unit), _number(figure.beside, figure.unit))
    return _row(*cells, ratio(figure), target(figure), verdict(figure)) + figure.what


def _row(name: str, *cells: str) -> str:
    return (
        name.ljust(WIDTHS[0]) + "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS[1:], strict=True)) + "  "
    )


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def ours(figure: Figure) -> str:
    return _number(figure.ours, figure.unit)


def beside(figure: Figure) -> str:
    return _number(figure.beside, figure.unit)


def ratio(figure: Figure) -> str:
    return f"{figure.ratio:.3f}" if figure.target and 1 < figure.target < 1.1 else f"{figure.ratio:.2f}"


def target(figure: Figure) -> str:
    """The target; empty without one."""
    sign = "≥" if figure.more_is_better else "≤"
    parts = [f"{sign} {figure.target:g}"] if figure.target is not None else []
    if figure.limit is not None:
        parts.append(f"≤ {figure.limit:g} {figure.unit}")
    return ", ".join(parts)


def verdict(figure: Figure) -> str:
    return {True: "met", False: "missed", None: ""}[figure.is_met]
