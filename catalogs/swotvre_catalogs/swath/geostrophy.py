"""Geostrophic velocities and what they do to water: vorticity, strain, Okubo-Weiss.

A velocity is kept as one complex field, eastward + i northward, and so are its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray

from swotvre_catalogs.swath.differences import gradient, make_grid
from swotvre_catalogs.swath.ellipsoid import Floats, coriolis_parameter, east_north, in_space, normal_gravity
from swotvre_catalogs.swath.errors import SwathError
from swotvre_catalogs.swath.lines import find_field, find_places, over_lines, segments

Complexes = npt.NDArray[np.complex128]

#: A sea surface height by name, or the names of an eastward and a northward velocity.
Source = Hashable | tuple[Hashable, Hashable]

#: How files write metres.
METRES = ("m", "meter", "meters", "metre", "metres")

#: Nearer to the equator than this (degrees) f is too small for a geostrophic velocity: NaN.
EQUATOR_DEGREES = 3.0


def geostrophic_velocity(
    dataset: xarray.Dataset, height: xarray.DataArray, equator_degrees: float = EQUATOR_DEGREES
) -> xarray.DataArray:
    """Return the geostrophic velocity of a height (m) as eastward + i northward, in m/s.

    ``u = -(g/f) dh/dy``, ``v = (g/f) dh/dx``, which is ``i (g/f) (dh/dx + i dh/dy)``.
    """

    def velocity(values: Floats, longitude: Floats, latitude: Floats, segment: Floats) -> Complexes:
        eastward, northward = gradient(values, make_grid(longitude, latitude, segment))
        f = _usable_coriolis(latitude, equator_degrees)
        result: Complexes = 1j * (normal_gravity(latitude) / f) * (eastward + 1j * northward)
        return result

    return over_lines(velocity, height, *find_places(dataset), segments(dataset), dtype=complex)


def as_components(velocity: xarray.DataArray, long_name: str) -> xarray.Dataset:
    """Return a complex velocity as the variables ``u`` and ``v`` with their attributes."""
    parts = {"u": (velocity.real, "eastward"), "v": (velocity.imag, "northward")}
    return xarray.Dataset(
        {
            name: part.assign_attrs(
                standard_name=f"surface_geostrophic_{direction}_sea_water_velocity",
                long_name=f"{long_name}, {direction}",
                units="m/s",
            )
            for name, (part, direction) in parts.items()
        }
    )


def coriolis(latitude: xarray.DataArray, equator_degrees: float) -> xarray.DataArray:
    """Return f in 1/s, NaN nearer to the equator than ``equator_degrees``."""
    return xarray.apply_ufunc(
        _usable_coriolis, latitude, equator_degrees, dask="parallelized", output_dtypes=[float], keep_attrs=False
    )


def _usable_coriolis(latitude: Floats, equator_degrees: float) -> Floats:
    far = (np.abs(latitude) >= equator_degrees) & (latitude != 0)
    return np.where(far, coriolis_parameter(latitude), np.nan)


def find_velocity(dataset: xarray.Dataset, source: Source, equator_degrees: float) -> xarray.DataArray:
    """Return a velocity in m/s as eastward + i northward: that of a height, or of two variables of the dataset."""
    if not isinstance(source, tuple | list):
        return geostrophic_velocity(dataset, find_height(dataset, source), equator_degrees)
    if len(source) != 2:
        raise SwathError(
            f"received {len(source)} names, expected the name of a height or of two velocities: (eastward, northward)"
        )
    eastward, northward = (find_field(dataset, name) for name in source)
    return eastward.astype(float) + 1j * northward.astype(float)


def find_height(dataset: xarray.Dataset, name: Hashable) -> xarray.DataArray:
    """Return a variable that is a height in metres, by its units where it has any.

    Raises:
        SwathError: The variable has other units.
    """
    height = find_field(dataset, name)
    units = height.attrs.get("units", "m")
    if units not in METRES:
        raise SwathError(f"{name} is in {units!r}, expected a height in metres (units 'm'); convert it first")
    return height


def rotation(dataset: xarray.Dataset, velocity: xarray.DataArray) -> xarray.DataArray:
    """Return divergence + i vorticity of a velocity, in 1/s.

    ``(du/dx + dv/dy - v tan(lat)/N) + i (dv/dx - du/dy + u tan(lat)/N)``
    """
    return _of_gradient(dataset, velocity, lambda by_east, by_north: by_east - 1j * by_north, complex)


def deformation(dataset: xarray.Dataset, velocity: xarray.DataArray) -> xarray.DataArray:
    """Return normal + i shear strain of a velocity, in 1/s.

    ``(du/dx - dv/dy - v tan(lat)/N) + i (dv/dx + du/dy + u tan(lat)/N)``
    """
    return _of_gradient(dataset, velocity, lambda by_east, by_north: by_east + 1j * by_north, complex)


def okubo_weiss(dataset: xarray.Dataset, velocity: xarray.DataArray) -> xarray.DataArray:
    """Return normal^2 + shear^2 - vorticity^2 of a velocity, in 1/s2."""

    def parameter(by_east: Complexes, by_north: Complexes) -> Floats:
        strain, turning = by_east + 1j * by_north, (by_east - 1j * by_north).imag
        result: Floats = strain.real**2 + strain.imag**2 - turning**2
        return result

    return _of_gradient(dataset, velocity, parameter, float)


def _of_gradient(
    dataset: xarray.Dataset,
    velocity: xarray.DataArray,
    combine: Callable[[Complexes, Complexes], npt.NDArray[Any]],
    dtype: type,
) -> xarray.DataArray:
    """Return a combination of the derivatives of a velocity, eastward and northward, each as east + i north."""

    # The vectors are differentiated in space and then laid onto the surface: that has the terms with tan(latitude) in
    # it, and holds at a pole, where east and north turn from one pixel to the next.
    def function(values: Complexes, longitude: Floats, latitude: Floats, segment: Floats) -> npt.NDArray[Any]:
        grid = make_grid(longitude, latitude, segment)
        vectors = in_space(values, longitude, latitude)
        slopes = [gradient(vectors[..., k], grid) for k in range(3)]
        by_east, by_north = (
            east_north(np.stack([slope[side] for slope in slopes], axis=-1), longitude, latitude) for side in (0, 1)
        )
        return combine(by_east, by_north)

    return over_lines(function, velocity, *find_places(dataset), segments(dataset), dtype=dtype)
