"""Meridians and parallels, and how their degrees are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from swotvre_catalogs.swath.plot_projection import Bounds, Floats, Projection

#: Degrees between parallels; the first that gives at least three is taken.
_STEPS = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def longitude_text(x: float, _: Any = None) -> str:
    """Return a longitude in words: 190 is ``170°W``."""
    degrees = (x + 180) % 360 - 180
    if abs(degrees) < 1e-9 or abs(degrees + 180) < 1e-9:
        return f"{abs(degrees):.0f}°"
    return f"{_short(abs(degrees))}°{'E' if degrees > 0 else 'W'}"


def latitude_text(y: float, _: Any = None) -> str:
    """Return a latitude in words: -42.5 is ``42.5°S``."""
    return f"{_short(abs(y))}°{'N' if y > 0 else 'S'}" if abs(y) > 1e-9 else "0°"


def _short(degrees: float) -> str:
    return f"{degrees:.3f}".rstrip("0").rstrip(".")


def graticule(projection: Projection, view: Bounds) -> tuple[list[Floats], list[tuple[float, float, str]]]:
    """Return meridians and parallels of a polar map as lines, and their names with x and y.

    A name at the edge of the view is moved in, so that it is not cut.
    """
    west, south, east, north = projection.geographic_bounds(view)
    step = next((step for step in _STEPS if (north - south) / step >= 3), _STEPS[-1])
    away = 30.0 if east - west > 180 else next((s for s in (10, *_STEPS) if (east - west) / s >= 3), _STEPS[-1])
    lines, texts = [], []
    meridians = np.arange(np.ceil(west / away) * away, east + 1e-9, away)
    parallels = np.arange(np.ceil(south / step) * step, north + 1e-9, step)
    span = np.linspace(west, east, 361)
    for latitude in parallels[np.abs(parallels) < 90]:
        lines.append(projection.forward_line(np.column_stack([span, np.full(361, latitude)])))
        texts.append((*_at(projection, west + 0.625 * (east - west), latitude), latitude_text(latitude)))
    # Meridians end before the pole, where all of them meet.
    ends = np.clip((south, north), -89.0, 89.0)
    for longitude in meridians[meridians < west + 360]:
        lines.append(projection.forward_line(np.column_stack([np.full(2, longitude), ends])))
        middle = 0.7 * ends[np.abs(ends).argmin()] + 0.3 * ends[np.abs(ends).argmax()]
        texts.append((*_at(projection, longitude, middle), longitude_text(longitude)))
    return lines, [(*_moved_in(x, y, view), text) for x, y, text in texts]


def _moved_in(x: float, y: float, view: Bounds) -> tuple[float, float]:
    """Return a place that lies in the view, a little away from its edge; one outside of the view as it is."""
    west, south, east, north = view
    if not (west <= x <= east and south <= y <= north):
        return x, y
    aside, above = 0.035 * (east - west), 0.02 * (north - south)
    return min(max(x, west + aside), east - aside), min(max(y, south + above), north - above)


def _at(projection: Projection, longitude: float, latitude: float) -> tuple[float, float]:
    x, y = projection.forward_line(np.array([[longitude, latitude]]))[0]
    return float(x), float(y)
