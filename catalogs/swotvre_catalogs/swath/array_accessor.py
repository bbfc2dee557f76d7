"""The accessor ``DataArray.swot``: that of a dataset, for one variable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import xarray

from swotvre_catalogs.swath.accessor import SwathDataset
from swotvre_catalogs.swath.geostrophy import EQUATOR_DEGREES


class SwathArray:
    """What can be asked of one variable of a swath that has its ``longitude`` and ``latitude`` as coordinates.

    The methods are those of ``Dataset.swot``, without the name of the variable.
    """

    def __init__(self, array: xarray.DataArray) -> None:
        self._name = array.name or "value"
        self._array = array.rename(self._name)

    @property
    def _dataset(self) -> SwathDataset:
        return SwathDataset(self._array.to_dataset())

    def passes(self) -> Iterator[xarray.DataArray]:
        """Yield the runs of lines without a gap, each within one pass."""
        for run in self._dataset.passes():
            yield run[self._name]

    def split_antimeridian(self) -> list[xarray.DataArray]:
        """Return the pieces on either side of the antimeridian."""
        return [piece[self._name] for piece in self._dataset.split_antimeridian()]

    def unwrap_longitude(self) -> xarray.DataArray:
        """Return longitudes without jumps of 360 degrees within each run of lines."""
        return self._dataset.unwrap_longitude()

    def cell_edges(self, *, continuous: bool = True) -> xarray.Dataset:
        """Return the corners of the pixels."""
        return self._dataset.cell_edges(continuous=continuous)

    def cross_track_distance(self) -> xarray.DataArray:
        """Return the distance of each pixel from the nadir track in km, positive to the right of flight."""
        return self._dataset.cross_track_distance()

    def along_track_distance(self) -> xarray.DataArray:
        """Return the distance of each line from the first line of its pass in km."""
        return self._dataset.along_track_distance()

    def heading(self) -> xarray.DataArray:
        """Return the direction in which the nadir moves over the ground, in degrees clockwise from north."""
        return self._dataset.heading()

    def along_track_derivative(self) -> xarray.DataArray:
        """Return the derivative per metre in the direction of flight."""
        return self._dataset.along_track_derivative(self._name)

    def cross_track_derivative(self) -> xarray.DataArray:
        """Return the derivative per metre to the right of flight."""
        return self._dataset.cross_track_derivative(self._name)

    def geostrophic_velocity(self, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.Dataset:
        """Return the geostrophic velocity (u, v in m/s) of a height in metres."""
        return self._dataset.geostrophic_velocity(self._name, equator_degrees=equator_degrees)

    def vorticity(self, *, normalized: bool = False, equator_degrees: float = EQUATOR_DEGREES) -> xarray.DataArray:
        """Return the relative vorticity of the geostrophic velocity of a height."""
        return self._dataset.vorticity(self._name, normalized=normalized, equator_degrees=equator_degrees)

    def strain(self, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.Dataset:
        """Return normal, shear and total strain of the geostrophic velocity of a height."""
        return self._dataset.strain(self._name, equator_degrees=equator_degrees)

    def okubo_weiss(self, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.DataArray:
        """Return the Okubo-Weiss parameter of the geostrophic velocity of a height."""
        return self._dataset.okubo_weiss(self._name, equator_degrees=equator_degrees)

    def to_grid(self, step_degrees: float | None = None, **options: Any) -> xarray.Dataset:
        """Return the variable on a regular grid of longitudes and latitudes."""
        return self._dataset.to_grid(self._name, step_degrees, **options)

    def section(self, track_longitude: Any, track_latitude: Any, **options: Any) -> xarray.Dataset:
        """Return the values along a track."""
        return self._dataset.section(track_longitude, track_latitude, self._name, **options)

    def plot(self, **options: Any) -> Any:
        """Draw the variable as a rasterised interactive picture."""
        return self._dataset.plot(self._name, **options)
