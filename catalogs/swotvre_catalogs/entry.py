"""One product of the catalog: its granules, its cube, selections in place and time, and reductions."""

from __future__ import annotations

import html
import os
import shlex
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swotvre_catalogs.datalake import ADDRESS_VARIABLE, Datalake
from swotvre_catalogs.granules import find_granules, granule_table, latest_versions
from swotvre_catalogs.index.place import Place, configured_place
from swotvre_catalogs.notebook_table import html_table
from swotvre_catalogs.parameters import resolve_parameters
from swotvre_catalogs.products import Parameter, Product
from swotvre_catalogs.reading import with_accessor
from swotvre_catalogs.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import geopandas
    import pandas
    import xarray

    from swotvre_catalogs.cube import BuildReport
    from swotvre_catalogs.export import ExportReport
    from swotvre_catalogs.index import IndexReport
    from swotvre_catalogs.index.granule_index import GranuleIndex


class Entry:
    """One product. Call it with parameters to choose granules; without, its defaults count.

    Args:
        datalake: Where the granules lie.
        product: What they are.
        index: The address of the place of index and cube; see :func:`configured_place` for the default.
    """

    def __init__(self, datalake: Datalake, product: Product, index: str | os.PathLike[str] | None = None) -> None:
        self.datalake = datalake
        self.product = product
        self._index_address = index

    @property
    def name(self) -> str:
        """The name in the catalog."""
        return self.product.name

    @cached_property
    def place(self) -> Place:
        """Where the product's granule index and cube lie."""
        return configured_place(self.datalake, self._index_address)

    def __call__(self, **parameters: Any) -> Selection:
        """Choose granules: an integer ``cycle_number``, a list of them, or None for all that exist.

        Raises:
            UnknownParameterError: If the product has no such parameter.
            ParameterValueError: If a value has the wrong type or is out of bounds.
        """
        return Selection(self.datalake, self.product, resolve_parameters(self.product, parameters))

    def command(self, noun: str, version: str | None = None) -> str:
        """Return the command that builds the product's ``index`` or ``cube``, for this datalake and place."""
        parts = ["swot-vre", "catalog", noun, self.name]
        if version is not None:
            parts += ["--version", version]
        if self.datalake.address != os.environ.get(ADDRESS_VARIABLE, "").rstrip("/"):
            parts += ["--datalake", self.datalake.address]
        if self.datalake.is_told_by_names:
            parts.append("--folder")
        if self._index_address is not None:
            parts += ["--index", os.fspath(self._index_address)]
        return shlex.join(parts)

    def to_dask(self) -> xarray.Dataset:
        """Open the default granule lazily."""
        return self().to_dask()

    def read(self) -> xarray.Dataset | geopandas.GeoDataFrame:
        """Read the default granule into memory."""
        return self().read()

    def granules(self, *, all_versions: bool = False) -> pandas.DataFrame:
        """List every granule on the datalake: parameters, begin, end, crid, path below the datalake, size_bytes.

        The datalake is listed anew; :meth:`index` answers from what was found when the index was built.

        Args:
            all_versions: Also those for which the datalake holds a later version.
        """
        found = find_granules(self.datalake, self.product)
        return granule_table(self.product, found if all_versions else latest_versions(found))

    def index(self) -> GranuleIndex:
        """Open the granule index; build it first when there is none and the files are few.

        Raises:
            MissingIndexError: If there is none and the files are many; the message says the command that builds it.
            UnreadableIndexError: If it is damaged or of another datalake.
        """
        from swotvre_catalogs.index.opening import open_index

        return open_index(self)

    def sel(
        self,
        bbox: Sequence[float] | None = None,
        time: Any = None,
        version: str | None = None,
        *,
        clip: bool = False,
        **parameters: Any,
    ) -> xarray.Dataset | geopandas.GeoDataFrame:
        """Select by place, time and parameters: only what crosses the box, without listing the datalake.

        Args:
            bbox: (west, south, east, north) in degrees, longitudes -180 to 180 or 0 to 360; ``west > east`` goes
                across the antimeridian.
            time: A period such as ``"2024-06"``, or two times, both inclusive to the end of their precision.
            version: A CRID such as ``"PIC0"`` or ``"PIC0_01"`` instead of the newest of each granule.
            clip: For swaths, whether pixels outside the box are NaN; a line is kept whole otherwise.
            **parameters: Values, or lists of them, of the product's parameters.

        Returns:
            Swaths on the fixed grid: one lazy Dataset, the lines of all granules along ``num_lines``. Hydrology: points
            as a Dataset, features as a GeoDataFrame.

        Raises:
            MissingGranuleError: If nothing lies there; the message says what does.
            ParameterValueError: If the box or the time cannot be one.
            UnknownParameterError: If the product has no such parameter.
        """
        if self.product.metadata.grid == "fixed":
            from swotvre_catalogs.cube import select_swath

            return with_accessor(select_swath(self, bbox, time, version, parameters, clip=clip))
        from swotvre_catalogs.hydrology import select

        return with_accessor(select(self, bbox, time, version, parameters, clip=clip))

    def cube(self, version: str | None = None, at: Any = None) -> xarray.Dataset:
        """Open all cycles as one lazy Dataset of (cycle_number, pass_number, num_lines, num_pixels).

        Args:
            version: A CRID instead of the newest version of each granule.
            at: A snapshot id, a tag or a time: the cube as it was then.
        """
        from swotvre_catalogs.cube import open_cube

        pinned = {} if version is None else {"version": version}
        return with_accessor(open_cube(self, at=at, **pinned))

    def build_cube(self, progress: Callable[..., Any] | None = None, **options: Any) -> BuildReport:
        """Build the cube, or bring it up to date, as one commit; readers go on with the one they opened.

        What :meth:`build_index` has seen of the files is not read again. Options are those of
        :func:`swotvre_catalogs.cube.build_cube`: ``version``, ``message``, ``jobs``.
        """
        from swotvre_catalogs.cube import build_cube

        return build_cube(self, progress=progress, **options)

    def build_index(self, progress: Callable[[int, int], Any] | None = None, **options: Any) -> IndexReport:
        """Build the granule index, or bring it up to date; the report names what is damaged, doubled and missing.

        Options are those of :func:`swotvre_catalogs.index.build_index`: ``jobs``, ``checksums``, ``cycles``.
        """
        from swotvre_catalogs.index import build_index

        return build_index(self, progress=progress, **options)

    def export(
        self,
        to: str | os.PathLike[str],
        bbox: Sequence[float] | None = None,
        time: Any = None,
        variables: Sequence[str] | None = None,
        **options: Any,
    ) -> ExportReport:
        """Copy a selection of the cube to sharded Zarr at ``to``; see :func:`swotvre_catalogs.export.export_zarr`."""
        from swotvre_catalogs.export import export_zarr

        return export_zarr(self, to, bbox, time, variables, **options)

    def mean(self, variable: str, over: Any = None, **options: Any) -> Any:
        """Return the mean over some dimensions of all files, read in place; each pixel has the same weight.

        Args:
            variable: Name of the variable.
            over: ``"cycle_number"``, ``"pass_number"``, ``"num_lines"``, ``"num_pixels"``, a tuple of them, or None for
                all. A list of these gives a list of results, the files read once.
            **options: ``quality="good"`` takes pixels whose own flag is 0; a mapping from flags to values, meanings or
                ``{"without": bits}`` is more exact. ``bbox``: (west, south, east, north) in degrees. ``time``: granules
                that overlap a period. ``where``: any other mask, a function of the cube's Dataset (slower).
                ``skip_damaged=True`` leaves damaged files out with a warning. ``client``: a ``distributed.Client``, or
                ``"auto"``. ``at``: the version of the cube, such as ``"2026-05-01"``.

        Returns:
            A DataArray of float64 without the dimensions in ``over``; its attributes tell files and commit.

        Raises:
            CatalogError: One of its kinds, for everything that a person can mend.
        """
        return self._reduce("mean", variable, over, options)

    def count(self, variable: str, over: Any = None, **options: Any) -> Any:
        """Return the number of valid values; arguments as for :meth:`mean`."""
        return self._reduce("count", variable, over, options)

    def std(self, variable: str, over: Any = None, **options: Any) -> Any:
        """Return the standard deviation (``ddof=0``, as xarray); arguments as for :meth:`mean`."""
        return self._reduce("std", variable, over, options)

    def min(self, variable: str, over: Any = None, **options: Any) -> Any:
        """Return the smallest value; arguments as for :meth:`mean`."""
        return self._reduce("min", variable, over, options)

    def max(self, variable: str, over: Any = None, **options: Any) -> Any:
        """Return the largest value; arguments as for :meth:`mean`."""
        return self._reduce("max", variable, over, options)

    def series(self, variable: str, bbox: Sequence[float], how: str = "mean", **options: Any) -> Any:
        """Return one value per cycle for the pixels in a box.

        Args:
            variable: Name of the variable.
            bbox: (west, south, east, north) in degrees; west greater than east goes across the antimeridian.
            how: ``"mean"``, ``"count"``, ``"std"``, ``"min"``, ``"max"``, or a list of them for a Dataset.
            **options: ``by="pass_number"``: a value for every crossing; ``by="month"``: for every calendar month. The
                others are those of :meth:`mean`.
        """
        from swotvre_catalogs.reduce import series

        return series(self, variable, bbox, how=how, **options)

    def grid(
        self, variable: str, step_degrees: float, bbox: Sequence[float] | None = None, how: str = "mean", **options: Any
    ) -> Any:
        """Return the pixels of all files put on a regular grid of longitude and latitude.

        Args:
            variable: Name of the variable.
            step_degrees: Size of a cell.
            bbox: Edges of the grid, (west, south, east, north) in degrees; the globe by default.
            how: As for :meth:`series`.
            **options: ``by="cycle_number"``, ``"month"`` (of the year), ``"months"`` (calendar months) or ``"season"``:
                a map for each. The others are those of :meth:`mean`.
        """
        from swotvre_catalogs.reduce import grid

        return grid(self, variable, step_degrees, bbox=bbox, how=how, **options)

    def climatology(self, variable: str, **options: Any) -> Any:
        """Return the mean of each month of the year, over all years; a granule is of the month of its begin.

        Args:
            variable: Name of the variable.
            **options: ``by="season"``; ``how`` as for :meth:`series`; ``over="cycle_number"``: one value per month and
                pixel; ``step_degrees=1``: one map per month. The others are those of :meth:`mean`.
        """
        from swotvre_catalogs.reduce import climatology

        return climatology(self, variable, **options)

    def _reduce(self, how: str, variable: str, over: Any, options: dict[str, Any]) -> Any:
        from swotvre_catalogs.reduce import reduce

        return reduce(self, how, variable, over=over, **options)

    @property
    def _filters(self) -> dict[str, str]:
        """What ``sel`` takes beside the parameters, with what it means."""
        return {"bbox": "(west, south, east, north) in degrees", "time": "A period"} | self.product.metadata.filters

    @property
    def _parameter_rows(self) -> list[tuple[Any, ...]]:
        return [
            (name, p.type, p.default, "" if p.min is None else p.min, "" if p.max is None else p.max, _meaning(p))
            for name, p in self.product.parameters.items()
        ]

    def _known_place(self) -> str | None:
        from swotvre_catalogs.index.summary import known_place

        return known_place(self)

    def __repr__(self) -> str:
        lines = [f"{self.name}: {self.product.metadata.title}", self.product.description]
        lines += [
            f"  {name} ({p.type}, default {p.default}): {_meaning(p)}" for name, p in self.product.parameters.items()
        ]
        lines += [f"  {name} (sel): {meaning}" for name, meaning in self._filters.items()]
        place = self._known_place()
        return "\n".join([*lines, f"Files: {place}"] if place else lines)

    def _repr_html_(self) -> str:
        metadata = self.product.metadata
        facts = f"{metadata.provider}. {metadata.licence}."
        return (
            f"<h4>{html.escape(metadata.title)} <code>{html.escape(self.name)}</code></h4>"
            f"<p>{html.escape(self.product.description)}</p><p><em>{html.escape(facts)}</em></p>"
            f"<p>Files: <code>{html.escape(self._known_place() or self.datalake.address)}</code></p>"
            + html_table(("parameter", "type", "default", "from", "to", "meaning"), self._parameter_rows)
            + html_table(("sel() takes as well", "meaning"), list(self._filters.items()))
        )


def _meaning(parameter: Parameter) -> str:
    """Return the description of a parameter, with the values that it can have where they are few."""
    choices = f" ({', '.join(parameter.allowed)})" if parameter.allowed else ""
    return f"{parameter.description}{choices}"
