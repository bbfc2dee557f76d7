"""Differences between neighbouring pixels of a swath, never across a gap.

Arrays end with the axes (num_lines, num_pixels), with any leading axes before them; they are broadcast against each
other. A *link* joins two neighbours: it is False across a gap, where nothing may be subtracted from each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from swotvre_catalogs.swath.ellipsoid import Floats, east_north, positions_m

Bools = npt.NDArray[np.bool_]
Complexes = npt.NDArray[np.complex128]

#: Two lines (or pixels) farther apart than this many usual steps have a gap between them.
GAP_IN_STEPS = 1.5

#: Lines on either side that a derivative looks at.
STENCIL_LINES = 2

LINES, PIXELS = -2, -1


@dataclass(frozen=True, eq=False)
class Grid:
    """The places of the pixels, and how far it is to the neighbours.

    Arrays have the shape (..., num_lines, num_pixels); a link array has one less along its own axis.
    """

    longitude: Floats
    latitude: Floats
    #: Earth-centred, in metres, with a last axis of 3.
    positions: Floats
    links_along: Bools
    links_across: Bools

    @cached_property
    def step_along(self) -> Complexes:
        """Return metres east + i metres north per line, towards the next line."""
        return self._step(LINES, self.links_along)

    @cached_property
    def step_across(self) -> Complexes:
        """Return metres east + i metres north per pixel, towards the next pixel."""
        return self._step(PIXELS, self.links_across)

    def _step(self, axis: int, links: Bools) -> Complexes:
        step = np.stack([difference(self.positions[..., k], links, axis) for k in range(3)], axis=-1)
        return east_north(step, self.longitude, self.latitude)


def make_grid(longitude: Floats, latitude: Floats, segment: Floats) -> Grid:
    """Return the grid of a swath.

    Args:
        longitude: Degrees, shape (..., num_lines, num_pixels), NaN where there is no pixel.
        latitude: Degrees, same shape.
        segment: A number per line that changes from one pass to the next, shape (..., num_lines, 1).
    """
    longitude, latitude = np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float)
    positions = positions_m(longitude, latitude)
    links_along = _links(positions, LINES - 1) & (np.diff(segment, axis=LINES) == 0)
    return Grid(longitude, latitude, positions, links_along, _links(positions, PIXELS - 1))


def _links(positions: Floats, axis: int) -> Bools:
    steps = np.linalg.norm(np.diff(positions, axis=axis), axis=-1)
    known = steps[np.isfinite(steps)]
    if not known.size:
        return np.zeros(steps.shape, dtype=bool)
    # The lower quartile is a real step even where a selection is cut into many short runs.
    usual = np.quantile(known, 0.25, method="lower")
    return (steps <= GAP_IN_STEPS * usual) & (steps >= usual / 10)


def difference(values: npt.NDArray[Any], links: Bools, axis: int) -> npt.NDArray[Any]:
    """Return the derivative of values by their index along an axis.

    A pixel between two linked, known neighbours has the central difference (h[k+1] - h[k-1]) / 2; one with neighbours
    on one side only has (-3 h[k] + 4 h[k+1] - h[k+2]) / 2, or h[k+1] - h[k] where there is just one; the others, and
    those that are missing themselves, have NaN. The first two are of second order, the last of first.

    Args:
        values: Shape (..., num_lines, num_pixels), real or complex.
        links: Which neighbours may be subtracted, one less along the axis.
        axis: -2 along the track, -1 across.

    Source: Fornberg, Generation of Finite Difference Formulas on Arbitrarily Spaced Grids, Math. Comp. 51 (1988),
    tables 1 and 3.
    """
    # Small integers and short floats would lose what the difference is about.
    values = np.moveaxis(values if np.iscomplexobj(values) else np.asarray(values, dtype=float), axis, -1)
    known = np.isfinite(values)
    joined = np.moveaxis(links, axis, -1) & known[..., 1:] & known[..., :-1]
    # One more on either end, so that every pixel has a link to the left and one to the right.
    end = np.zeros((*joined.shape[:-1], 1), dtype=bool)
    joined = np.concatenate([end, joined, end], axis=-1)
    left, right = joined[..., :-1], joined[..., 1:]
    filled = np.where(known, values, 0)
    step_right = np.zeros_like(filled)
    step_right[..., :-1] = filled[..., 1:] - filled[..., :-1]
    step_left = _shift(step_right, 1)
    forward = np.where(_shift(right, -1), (3 * step_right - _shift(step_right, -1)) / 2, step_right)
    backward = np.where(_shift(left, 1), (3 * step_left - _shift(step_left, 1)) / 2, step_left)
    result = np.select([left & right, right, left], [(step_left + step_right) / 2, forward, backward], np.nan)
    return np.moveaxis(result, -1, axis)


def _shift(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Return values moved by ``count`` places along the last axis, zeros (False) where none come in."""
    shifted = np.zeros_like(values)
    if count > 0:
        shifted[..., count:] = values[..., :-count]
    else:
        shifted[..., :count] = values[..., -count:]
    return shifted


def gradient(values: npt.NDArray[Any], grid: Grid) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the derivatives of values eastward and northward, per metre.

    With a and c the steps to the next line and the next pixel (metres east, metres north), the two index derivatives
    are h_a = a . grad h and h_c = c . grad h; the two equations are solved for grad h. The lines need not stand
    upright on the track.
    """
    along, across = grid.step_along, grid.step_across
    by_line = difference(values, grid.links_along, LINES)
    by_pixel = difference(values, grid.links_across, PIXELS)
    area = along.real * across.imag - along.imag * across.real
    # Where the two steps are almost parallel (no swath is so) the equations have no answer.
    area = np.where(np.abs(area) > 1e-3 * np.abs(along) * np.abs(across), area, np.nan)
    eastward = (by_line * across.imag - by_pixel * along.imag) / area
    northward = (by_pixel * along.real - by_line * across.real) / area
    return eastward, northward
