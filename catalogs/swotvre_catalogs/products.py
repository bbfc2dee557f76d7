"""The entries of the catalog: Intake v1 YAML, read once into frozen models."""

from __future__ import annotations

import datetime
import re
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from swotvre_catalogs.errors import EntryError

#: The loader of libyaml takes a tenth of the time of the one in Python.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: How an entry's URL starts; Intake fills it in from the environment, the accessor from its datalake.
DATALAKE_PREFIX = "{{ env(SWOTVRE_DATALAKE) }}/"

#: What may stand between braces in a URL: ``name``, ``'%03d' % name`` or ``name.strftime('%Y%m%d')``.
_FIELD = re.compile(
    r"\{\{\s*(?:'(?P<printf>%0?\d*d)'\s*%\s*)?(?P<name>[a-z_]+)(?:\.strftime\('(?P<strftime>[^']+)'\))?\s*\}\}"
)


class Parameter(BaseModel, frozen=True, extra="forbid"):
    """One parameter of a product, as Intake's user parameters are written."""

    description: str
    type: Literal["int", "str", "datetime"]
    default: int | str
    min: int | str | None = None
    max: int | str | None = None
    allowed: tuple[str, ...] | None = None

    @property
    def pattern(self) -> str:
        """A regular expression of the values as they stand in a file name."""
        if self.allowed:
            return "|".join(map(re.escape, self.allowed))
        return {"int": r"\d+", "str": r"[^/_]+", "datetime": r"\d{8}"}[self.type]


class Metadata(BaseModel, frozen=True, extra="forbid"):
    """What a user wants to know of a product before opening it."""

    title: str
    level: str
    #: ``fixed``: lines lie at the same place in every cycle; ``native``: they do not; the others have no lines.
    grid: Literal["fixed", "native", "regular", "points", "vector"]
    #: Spacing of the samples, and what a day of the product weighs, as a person writes it.
    resolution: str | None = None
    volume_per_day: str | None = None
    licence: str
    provider: str
    #: What the sample datalake holds of it: measurements, simulated files, or none.
    sample: Literal["real", "simulated", "none"]
    #: Fill value of integer variables whose file does not declare one.
    undeclared_fill_value: int | None = None
    #: Path parameters that choose another kind of file, not another place or time: a selection takes their default.
    variants: tuple[str, ...] = ()
    #: What ``sel`` takes beside the parameters, with what it means: names of features, tiles, classes.
    filters: dict[str, str] = {}


class Arguments(BaseModel, frozen=True, extra="forbid"):
    """What the driver is called with."""

    urlpath: str = Field(pattern="^" + re.escape(DATALAKE_PREFIX))
    xarray_kwargs: dict[str, Any] = {}


class Product(BaseModel, frozen=True, extra="forbid", ignored_types=(cached_property,)):
    """One entry: where its granules lie, its parameters, and what it is."""

    name: str
    description: str
    driver: Literal["netcdf", "swotvre_catalogs.shapefile.ShapefileSource"]
    parameters: dict[str, Parameter] = {}
    metadata: Metadata
    args: Arguments

    @property
    def is_vector(self) -> bool:
        """Tell whether the product is a table of features rather than arrays."""
        return self.metadata.grid == "vector"

    @property
    def has_cycles(self) -> bool:
        """Tell whether the product is cut into cycles."""
        return "cycle_number" in self.parameters

    @property
    def template(self) -> str:
        """The path below the datalake, with its fields in braces."""
        return self.args.urlpath.removeprefix(DATALAKE_PREFIX)

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that choose the file; the others choose inside it."""
        return tuple(dict.fromkeys(field["name"] for field in _FIELD.finditer(self.template)))

    def glob(self, values: dict[str, Any]) -> str:
        """Return the pattern of the files for these values; a parameter without a value matches all."""

        def fill(field: re.Match[str]) -> str:
            value = values.get(field["name"])
            if value is None:
                return "*"
            if field["printf"]:
                return str(field["printf"] % value)
            return str(value.strftime(field["strftime"])) if field["strftime"] else str(value)

        return re.sub(r"\*+", "*", _FIELD.sub(fill, self.template))

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """A regular expression that takes a path apart into the parameters."""
        parts, end, seen = [], 0, set()
        for field in _FIELD.finditer(self.template):
            parts.append(_literal(self.template[end : field.start()]))
            name = field["name"]
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{self.parameters[name].pattern})")
            seen.add(name)
            end = field.end()
        return re.compile("".join(parts) + _literal(self.template[end:]))

    @model_validator(mode="after")
    def _fields_are_parameters(self) -> Product:
        if "{" in _FIELD.sub("", self.template):
            raise ValueError(f"a field of urlpath cannot be read: {self.args.urlpath!r}")
        for key, used in (("urlpath", self.path_parameters), ("metadata.variants", self.metadata.variants)):
            unknown = set(used) - set(self.parameters)
            if unknown:
                raise ValueError(f"{key} uses {', '.join(sorted(unknown))}, which parameters do not define")
        return self


def _literal(text: str) -> str:
    return ".*".join(map(re.escape, text.split("*")))


def parse_entries(text: str, source: str) -> dict[str, Product]:
    """Parse one YAML file of entries; ``source`` is its name for messages.

    Raises:
        EntryError: If it is not YAML, or an entry is wrong; the message names file, entry and key.
    """
    try:
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506  (a safe loader)
        entries = document["sources"].items()
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise EntryError(f"{source} is not an Intake catalog (a mapping with the key 'sources'): {error}") from error
    products = {}
    for name, entry in entries:
        try:
            products[name] = Product.model_validate({"name": name, **entry})
        except (ValidationError, TypeError) as error:
            raise EntryError(f"{source}, entry {name!r}: {_first_mistake(error)}") from error
    return products


def _first_mistake(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    mistake = error.errors()[0]
    return f"{'.'.join(map(str, mistake['loc'])) or 'entry'}: {mistake['msg']}, received {mistake['input']!r:.200}"


def load_products(folder: Traversable | None = None) -> dict[str, Product]:
    """Load every entry of the folder's ``*.yaml`` files, those of the package by default.

    Raises:
        EntryError: If an entry is wrong or two files give the same name.
    """
    folder = folder or resources.files("swotvre_catalogs") / "entries"
    products: dict[str, Product] = {}
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name):
        entries = parse_entries(file.read_text(encoding="utf-8"), file.name)
        if twice := products.keys() & entries.keys():
            raise EntryError(f"{file.name}: {', '.join(sorted(twice))} is already an entry of another file")
        products |= entries
    return products


def as_date(value: Any) -> datetime.date:
    """Return the calendar day of a date, a datetime, a numpy datetime or an ISO 8601 text.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    return datetime.date.fromisoformat(str(value)[:10])
