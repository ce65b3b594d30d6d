"""Line charts as inline SVG: no script, colours from the page's style sheet, values in tooltips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 12, 50
COLOURS = 7
"""Colours that the style sheet defines: classes c0 .. c6."""
DASHES = 5
"""Dash patterns that it defines: classes d0 .. d4."""


@dataclass(frozen=True)
class Series:
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]
    """(x, y) in drawing order."""
    colour: int = 0
    dash: int = 0
    markers: bool = False


@dataclass(frozen=True)
class Axis:
    """A linear axis."""

    label: str
    low: float = 0.0
    high: float = 1.0

    @property
    def ticks(self) -> tuple[float, ...]:
        """Three to nine round values inside the axis.

        >>> Axis("", 0, 1).ticks
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        """
        step = _round_step((self.high - self.low) / 7)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(_tidy(index * step) for index in range(first, last + 1))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def _tidy(value: float) -> float:
    """Without the last digits, where a multiple of 0.1 is no longer round."""
    return float(f"{value:.14g}")


def axis_over(label: str, values: Sequence[float], *, from_zero: bool = True) -> Axis:
    """Axis that holds all values and ends at a round one.

    >>> axis_over("loss", [0.31, 1.93])
    Axis(label='loss', low=0.0, high=2.0)
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0) if from_zero else low
    if high <= low:
        high = low + 1.0
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(label, _tidy(first * step), _tidy(last * step))


@dataclass(frozen=True)
class _Frame:
    x: Axis
    y: Axis

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x.low) / (self.x.high - self.x.low)
        up = (y - self.y.low) / (self.y.high - self.y.low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def number(value: float) -> str:
    """Short text of a tick.

    >>> number(0.2), number(20000), number(1.0)
    ('0.2', '20k', '1')
    """
    if abs(value) >= 10_000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def line_chart(
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    diagonal: bool = False,
    marked_x: float | None = None,
) -> Markup:
    """SVG figure; `title` is read out by screen readers. Points outside the axes are clipped.

    Args:
        title: what the chart shows.
        x: horizontal axis.
        y: vertical axis.
        series: lines; empty ones are left out.
        diagonal: draw the line of equal x and y.
        marked_x: draw a vertical line here.
    """
    frame = _Frame(x, y)
    parts = [_grid(frame)]
    if diagonal:
        parts.append(_segment(frame, (x.low, y.low), (x.high, y.high), "ideal"))
    if marked_x is not None:
        parts.append(_segment(frame, (marked_x, y.low), (marked_x, y.high), "marked"))
    parts += [_line(frame, line) for line in series if line.points]
    return Markup(
        '<svg class="chart" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>{body}</svg>'
    ).format(width=WIDTH, height=HEIGHT, title=title, body=Markup("").join(parts))


def _segment(frame: _Frame, start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
    (x1, y1), (x2, y2) = frame.place(*start), frame.place(*end)
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def _grid(frame: _Frame) -> Markup:
    parts = []
    for tick in frame.x.ticks:
        left, bottom = frame.place(tick, frame.y.low)
        parts.append(_segment(frame, (tick, frame.y.low), (tick, frame.y.high), "grid"))
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                left, bottom + 18, number(tick)
            )
        )
    for tick in frame.y.ticks:
        left, height = frame.place(frame.x.low, tick)
        parts.append(_segment(frame, (frame.x.low, tick), (frame.x.high, tick), "grid"))
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>').format(
                left - 7, height + 5, number(tick)
            )
        )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        Markup('<text class="label" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            middle_x, HEIGHT - 9, frame.x.label
        )
    )
    parts.append(
        Markup('<text class="label" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle_y, frame.y.label
        )
    )
    return Markup("").join(parts)


def _line(frame: _Frame, line: Series) -> Markup:
    inside = [(x, y) for x, y in line.points if frame.x.low <= x <= frame.x.high and frame.y.low <= y <= frame.y.high]
    places = [frame.place(x, y) for x, y in inside]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    kind = f"line c{line.colour % COLOURS} d{line.dash % DASHES}"
    parts = [Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(kind, path, line.name)]
    if line.markers:
        parts += [
            Markup(
                '<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}: {:.3g}, {:.3g}</title></circle>'
            ).format(line.colour % COLOURS, *place, line.name, *point)
            for place, point in zip(places, inside, strict=True)
        ]
    return Markup("").join(parts)
