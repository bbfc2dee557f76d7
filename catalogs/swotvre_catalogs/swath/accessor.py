"""The accessor ``Dataset.swot``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import xarray

from swotvre_catalogs.swath import flags, geostrophy, pieces, track
from swotvre_catalogs.swath.differences import LINES, PIXELS
from swotvre_catalogs.swath.errors import SwathGeometryError
from swotvre_catalogs.swath.geostrophy import EQUATOR_DEGREES, Source
from swotvre_catalogs.swath.lines import LINE, PIXEL, find_field, find_places, find_variable


class SwathDataset:
    """What can be asked of a swath: a dataset with the dimensions num_lines and num_pixels.

    It has ``longitude`` and ``latitude`` of its pixels, in degrees, in any convention. It may be one pass; several,
    one after the other along num_lines, with ``cycle_number`` and ``pass_number`` per line; or have further
    dimensions in front, such as cycle_number. No derivative is taken from one pass to the next, over a gap in the
    lines, between the two halves of the swath, or across missing values. Results are lazy where the variables are.
    """

    def __init__(self, dataset: xarray.Dataset) -> None:
        self._dataset = dataset

    def passes(self) -> Iterator[xarray.Dataset]:
        """Yield the runs of lines without a gap, each within one pass.

        A gap is a step of more than 1.5 usual steps between lines. Lines without any place are left out.

        Raises:
            SwathGeometryError: The places have more dimensions than lines and pixels.
        """
        for lines in pieces.runs(self._swath):
            yield self._dataset.isel({LINE: lines})

    def unwrap_longitude(self) -> xarray.DataArray:
        """Return longitudes without jumps of 360 degrees within each run of lines.

        Returns:
            Degrees east, shape (num_lines, num_pixels); the first pixel of a run lies in [-180, 180), others may lie
            beyond. Computed at once.

        Raises:
            SwathGeometryError: The places have more dimensions than lines and pixels.

        Source: Itoh, Analysis of the phase unwrapping algorithm, Applied Optics 21 (1982): differences of neighbours
        are taken to be below half a turn.
        """
        return pieces.unwrap_longitude(self._swath)

    def split_antimeridian(self) -> list[xarray.Dataset]:
        """Return the pieces on either side of the antimeridian; a swath that does not cross it is one piece.

        A piece holds the lines that have a pixel on its side. Its longitudes are continuous within a run of lines;
        its pixels lie in [-180, 180), and those on the other side keep their (continued) place but are NaN in every
        variable per pixel, so each pixel counts once. Integers become floats by that.

        Returns:
            Datasets with the scalar coordinate ``piece`` (0, 1, ...). Places are computed at once, variables stay lazy.

        Raises:
            SwathGeometryError: The places have more dimensions than lines and pixels.

        Source: RFC 7946, section 3.1.9, Antimeridian Cutting.
        """
        return pieces.split_antimeridian(self._swath)

    def cell_edges(self, *, continuous: bool = True) -> xarray.Dataset:
        """Return the corners of the pixels.

        A corner is the direction of the sum of the upright unit vectors of the four pixels around it; beyond the
        outermost pixels the swath is continued straight. So corners are right across the antimeridian and at the
        poles.

        Args:
            continuous: Longitudes without jumps of 360 degrees (not possible where a pole is inside the swath);
                otherwise all in [-180, 180].

        Returns:
            ``longitude_edges`` and ``latitude_edges`` in degrees, shape (num_lines + 1, num_pixels + 1). Computed at
            once.

        Raises:
            SwathGeometryError: The lines are not one run without gaps; use ``passes()`` first.

        Source: the n-vector mean of Gade, A Non-singular Horizontal Position Representation, J. Navigation 63 (2010),
        eq. 17.
        """
        return pieces.cell_edges(self._swath, continuous=continuous)

    def cross_track_distance(self) -> xarray.DataArray:
        """Return the distance of each pixel from the nadir track, positive to the right of flight.

        It is the distance over the WGS84 ellipsoid to the nadir of the line: ``longitude_nadir``, ``latitude_nadir``
        where the dataset has them, else the middle of the line.

        Returns:
            Kilometres (the variable of the Expert product is in metres), shape (num_lines, num_pixels).

        Raises:
            SwathGeometryError: The pixels are not a whole swath and there is no nadir (raised when it is computed).

        Source: SWOT Product Description L2_LR_SSH (JPL D-56407), variable cross_track_distance.
        """
        return track.cross_track_distance(self._swath)

    def along_track_distance(self) -> xarray.DataArray:
        """Return the distance of each line from the first line of its pass, along the nadir track.

        Returns:
            Kilometres over the WGS84 ellipsoid, shape (num_lines,), 0 at the first line of each pass. A gap counts as
            the straight way over it.

        Raises:
            SwathGeometryError: As ``cross_track_distance``.

        Source: NGA.STND.0036 (2014), chapters 3 and 4, WGS84; a step is the chord between two nadirs, lengthened to the
        arc of the Gaussian radius of curvature.
        """
        return track.along_track_distance(self._swath)

    def heading(self) -> xarray.DataArray:
        """Return the direction in which the nadir moves over the ground.

        ``atan2(east, north)`` of the central difference of the nadir positions.

        Returns:
            Degrees clockwise from north in [0, 360), shape (num_lines,); NaN on a line without neighbours.

        Raises:
            SwathGeometryError: As ``cross_track_distance``.

        Source: NGA.STND.0036 (2014), chapters 3 and 4: east and north are those of the ellipsoid's normal.
        """
        return track.heading(self._swath)

    def along_track_derivative(self, variable: Hashable) -> xarray.DataArray:
        """Return the derivative of a variable per metre in the direction of flight.

        Central differences where both neighbours are known, one-sided ones of three points at an edge, of two where
        there are but two: second order in the posting, first in the last case. Missing values give NaN and are not
        bridged.

        Returns:
            Units of the variable per metre, dimensions of the variable.

        Raises:
            UnknownVariableError: No such variable.
            SwathGeometryError: The variable has not the dimensions of a swath.

        Source: Fornberg, Math. Comp. 51 (1988), tables 1 and 3.
        """
        return self._track_derivative(variable, LINES, "along-track")

    def cross_track_derivative(self, variable: Hashable) -> xarray.DataArray:
        """Return the derivative of a variable per metre to the right of flight, along its line.

        As ``along_track_derivative``; the two halves of the swath are differentiated each by itself.

        Returns:
            Units of the variable per metre, dimensions of the variable.

        Raises:
            UnknownVariableError: No such variable.
            SwathGeometryError: The variable has not the dimensions of a swath.

        Source: as ``along_track_derivative``.
        """
        return self._track_derivative(variable, PIXELS, "cross-track")

    def geostrophic_velocity(self, variable: Hashable, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.Dataset:
        """Return the geostrophic velocity of a sea surface height.

        ``u = -(g/f) dh/dy`` and ``v = (g/f) dh/dx`` with x eastward and y northward, f = 2 Omega sin(latitude), Omega =
        7.292115e-5 rad/s and g the normal gravity of WGS84 by latitude (Somigliana; 9.78 to 9.83 m/s2). The two
        slopes are solved from the differences along and across the track, whatever the angle between them. An anomaly
        of the height gives an anomaly of the velocity.

        Args:
            variable: A height in metres, such as ``ssha_karin_2``. Noise at 2 km posting is amplified: filter first.
            equator_degrees: Nearer to the equator than this, f is too small and the velocity is NaN.

        Returns:
            ``u`` eastward and ``v`` northward in m/s, dimensions of the variable.

        Raises:
            UnknownVariableError: No such variable.
            SwathGeometryError: The variable has not the dimensions of a swath.
            SwathError: The variable has units other than metres.

        Source: Vallis, Atmospheric and Oceanic Fluid Dynamics, 2nd ed. (2017), section 2.8; NGA.STND.0036 (2014),
        chapter 4, normal gravity on the ellipsoid.
        """
        height = geostrophy.find_height(self._dataset, variable)
        return geostrophy.as_components(
            geostrophy.geostrophic_velocity(self._swath, height, equator_degrees), f"geostrophic velocity of {variable}"
        )

    def vorticity(
        self, variable: Source, *, normalized: bool = False, equator_degrees: float = EQUATOR_DEGREES
    ) -> xarray.DataArray:
        """Return the relative vorticity, ``dv/dx - du/dy + u tan(latitude) / N``.

        N is the radius of curvature of WGS84 in the prime vertical; the last term is there because east turns along a
        parallel.

        Args:
            variable: A height, whose geostrophic velocity is taken, or the names of two velocities, ("ugos", "vgos").
            normalized: Divide by f: the Rossby number of the flow.
            equator_degrees: As in ``geostrophic_velocity``; for ``normalized`` as well.

        Returns:
            1/s (or 1), positive anticlockwise, dimensions of the variable.

        Source: Batchelor, An Introduction to Fluid Dynamics (1967), appendix 2.
        """
        turning = geostrophy.rotation(self._swath, self._velocity(variable, equator_degrees)).imag
        if not normalized:
            return _named(turning, "vorticity", "relative vorticity", "1/s")
        ratio = turning / geostrophy.coriolis(find_places(self._dataset)[1], equator_degrees)
        return _named(ratio, "vorticity", "relative vorticity divided by f", "1")

    def strain(self, variable: Source, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.Dataset:
        """Return the strain of a velocity: ``normal``, ``shear`` and ``total``.

        ``normal = du/dx - dv/dy - v tan(latitude) / N``, ``shear = dv/dx + du/dy + u tan(latitude) / N``,
        ``total = sqrt(normal^2 + shear^2)``.

        Args:
            variable: A height, or the names of two velocities; as in ``vorticity``.
            equator_degrees: As in ``geostrophic_velocity``.

        Returns:
            1/s, dimensions of the variable.

        Source: Batchelor (1967), appendix 2.
        """
        strain = geostrophy.deformation(self._swath, self._velocity(variable, equator_degrees))
        return xarray.Dataset(
            {
                "normal": _named(strain.real, "normal", "normal strain", "1/s"),
                "shear": _named(strain.imag, "shear", "shear strain", "1/s"),
                "total": _named(abs(strain), "total", "total strain", "1/s"),
            }
        )

    def okubo_weiss(self, variable: Source, *, equator_degrees: float = EQUATOR_DEGREES) -> xarray.DataArray:
        """Return the Okubo-Weiss parameter, ``normal^2 + shear^2 - vorticity^2``: negative where rotation wins.

        Args:
            variable: A height, or the names of two velocities; as in ``vorticity``.
            equator_degrees: As in ``geostrophic_velocity``.

        Returns:
            1/s2, dimensions of the variable.

        Source: Weiss, The dynamics of enstrophy transfer in two-dimensional hydrodynamics, Physica D 48 (1991).
        """
        parameter = geostrophy.okubo_weiss(self._swath, self._velocity(variable, equator_degrees))
        return _named(parameter, "okubo_weiss", "Okubo-Weiss parameter", "1/s2")

    def mask(
        self,
        variable: Hashable,
        *,
        good: bool = False,
        keep: Iterable[str] | str = (),
        drop: Iterable[str] | str = (),
        flag: Hashable | None = None,
    ) -> xarray.DataArray:
        """Return a variable with NaN where its quality flag says so; also where the flag itself is missing.

        Args:
            variable: Any variable of the dataset.
            good: Keep what nothing speaks against: no bit set, or the value that means ``good``.
            keep: Meanings to keep (in addition to good ones with ``good=True``), as in ``flag_meanings``.
            drop: Meanings to leave out; without good and keep, all else is kept.
            flag: The flag; by default the one that the variable names, ``<variable>_qual``, or ``quality_flag`` (L3).

        Returns:
            The variable, same dimensions and units.

        Raises:
            UnknownFlagError: No such flag or meaning, with what there is.

        Source: CF conventions 1.11, section 3.5; SWOT Product Description L2_LR_SSH (JPL D-56407), quality flags.
        """
        values = find_variable(self._dataset, variable)
        chosen = flags.find_flag(self._dataset, variable) if flag is None else flag
        return flags.mask_by_flag(values, find_variable(self._dataset, chosen), good=good, keep=keep, drop=drop)

    def flag(self, variable: Hashable, meaning: str) -> xarray.DataArray:
        """Return where a flag has a meaning, as booleans: ``ds.swot.flag("ssha_karin_2_qual", "degraded")``.

        Raises:
            UnknownFlagError: The flag has no such meaning.

        Source: CF conventions 1.11, section 3.5.
        """
        return flags.has_meaning(find_variable(self._dataset, variable), meaning)

    def to_grid(
        self,
        variable: Hashable,
        step_degrees: float | None = None,
        *,
        longitude: Any = None,
        latitude: Any = None,
        method: str = "mean",
        radius_km: float | None = None,
    ) -> xarray.Dataset:
        """Return a variable on a regular grid of longitudes and latitudes, computed at once.

        Args:
            variable: A variable with num_lines and num_pixels; further dimensions stay, with a grid each.
            step_degrees: Size of the cells, whose edges are multiples of it; the grid covers the pixels, over the
                antimeridian if the pixels do (longitudes then run beyond 180).
            longitude: Instead of a step: centres of the cells, evenly spaced, in any convention.
            latitude: As longitude.
            method: ``mean`` of the pixels in a cell; ``linear``: each pixel is shared by the four cells around it;
                ``idw``: the 9 nearest pixels of each centre, weighted by 1/distance^2.
            radius_km: With ``idw``, how far pixels may be; by default one step of the grid.

        Returns:
            The variable, NaN where there is no pixel, and ``count``: pixels behind each value.

        Raises:
            SwathError: The grid or the method cannot be used.

        Source: pyinterp 2026.10, Binning2D and RTree3D.inverse_distance_weighting (WGS84).
        """
        from swotvre_catalogs.swath.gridding import to_grid

        field = find_field(self._dataset, variable)
        return to_grid(self._swath, field, step_degrees, longitude, latitude, method, radius_km)

    def section(
        self,
        track_longitude: Any,
        track_latitude: Any,
        variable: Hashable,
        *,
        method: str = "bilinear",
        time: Any = None,
    ) -> xarray.Dataset:
        """Return the values of a variable along a track, such as that of a nadir altimeter.

        Args:
            track_longitude: Degrees in any convention, shape (points,).
            track_latitude: Degrees, shape (points,).
            variable: A variable with num_lines and num_pixels; further dimensions stay.
            method: ``bilinear`` between the four pixels around a point, NaN if one of them is missing or beyond a gap;
                ``nearest``: the pixel that holds the point.
            time: Times of the points (datetime64), shape (points,).

        Returns:
            The variable along ``point`` (lazy), NaN outside the swath, with the coordinates longitude, latitude,
            ``distance`` along the track (km), ``line`` and ``pixel`` (-1 outside) and, where the swath has a time per
            line, ``time`` and ``time_difference`` (seconds, swath minus track). Where several passes hold a point, the
            nearest in time counts.

        Raises:
            SwathGeometryError: The track is not two lists of one length; the places have more dimensions; or several
                passes hold a point and there is no time to choose by.

        Source: bilinear, Press et al., Numerical Recipes in C, 2nd ed. (1992), section 3.6.
        """
        from swotvre_catalogs.swath.sections import section

        field = find_field(self._dataset, variable)
        return section(self._swath, field, track_longitude, track_latitude, method=method, time=time)

    def plot(self, variable: str | None = None, **options: Any) -> Any:
        """Draw a variable as a rasterised interactive picture; see ``swotvre_catalogs.swath.plot.plot``."""
        from swotvre_catalogs.swath.plot import plot

        return plot(self._dataset, variable, **options)

    @property
    def _swath(self) -> xarray.Dataset:
        missing = [name for name in (LINE, PIXEL) if name not in self._dataset.sizes]
        if missing:
            raise SwathGeometryError(
                f"the dataset has the dimensions ({', '.join(map(str, self._dataset.sizes))}), "
                f"expected {LINE} and {PIXEL}: it is not a swath"
            )
        return self._dataset

    def _velocity(self, variable: Source, equator_degrees: float) -> xarray.DataArray:
        return geostrophy.find_velocity(self._swath, variable, equator_degrees)

    def _track_derivative(self, variable: Hashable, axis: int, direction: str) -> xarray.DataArray:
        field = find_field(self._dataset, variable)
        result = track.track_derivative(self._swath, field, axis)
        units = f"{field.attrs['units']}/m" if field.attrs.get("units", "1") not in {"1", ""} else "1/m"
        return _named(
            result, f"{variable}_{direction.replace('-', '_')}", f"{direction} derivative of {variable}", units
        )


def _named(values: xarray.DataArray, name: str, long_name: str, units: str) -> xarray.DataArray:
    return values.drop_attrs(deep=False).assign_attrs(long_name=long_name, units=units).rename(name)
