"""What a user asks of a product: names and values checked before any file is touched."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from swotvre_catalogs.errors import ParameterValueError, UnknownParameterError
from swotvre_catalogs.products import Parameter, Product, as_date

#: The one parameter that may be a list, or None for every value that exists: cycles of one pass can be stacked.
STACKED = "cycle_number"

#: What ``sel`` takes of every product.
SELECTING = ("bbox", "time", "version", "clip")

#: Letters from which on the beginning of a name tells which one is meant.
_TELLING = 3
#: Names that a message lists at most, and those that it lists of more.
_MOST_TOLD, _FEW_TOLD = 24, 12


def resolve_parameters(product: Product, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every parameter of the product: what was asked, or else the default.

    ``cycle_number`` may be several: they come back as a sorted list; None stands for all that exist.

    Raises:
        UnknownParameterError: If the product has no such parameter.
        ParameterValueError: If a value has the wrong type or is out of bounds.
    """
    for name in asked:
        if name not in product.parameters:
            raise UnknownParameterError(_unknown_parameter(product, name))
    return {
        name: _resolve(product, name, parameter, asked[name])
        if name in asked
        else _resolve_one(product, name, parameter, parameter.default)
        for name, parameter in product.parameters.items()
    }


def resolve_asked(product: Product, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the parameters that were asked for, checked; the others stay open.

    Each may be several: a list comes back sorted, without those that are twice. None is left out.

    Raises:
        UnknownParameterError: If the product has no such parameter.
        ParameterValueError: If a value has the wrong type, is out of bounds, or the list is empty.
    """
    resolved: dict[str, Any] = {}
    for name, value in asked.items():
        if name not in product.parameters:
            raise UnknownParameterError(_unknown_parameter(product, name))
        if value is None:
            continue
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
        if several and getattr(value, "ndim", None) != 0:
            values = sorted({_resolve_one(product, name, product.parameters[name], item) for item in value})
            if not values:
                raise ParameterValueError(f"{product.name}: {name} is empty; expected a value, several, or None")
            resolved[name] = values
        else:
            resolved[name] = _resolve_one(product, name, product.parameters[name], value)
    return resolved


def near_miss(name: Any, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for a name like one of ``names``, or nothing; one that begins alike goes first."""
    asked = str(name).lower()
    known = {one.lower(): one for one in names}
    begun = [one for one in known if len(asked) >= _TELLING and one.startswith(asked)]
    close = difflib.get_close_matches(asked, begun or known, n=1, cutoff=0.0 if begun else 0.5)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def known_names(name: Any, names: Iterable[str]) -> str:
    """Return names in words: all where they are few, else those most like ``name`` and how many more there are."""
    known = list(names)
    if len(known) <= _MOST_TOLD:
        return ", ".join(known) or "none"
    asked = str(name).lower()
    like = sorted(known, key=lambda one: -difflib.SequenceMatcher(None, asked, one.lower()).ratio())[:_FEW_TOLD]
    return f"{', '.join(sorted(like))} and {len(known) - len(like)} more"


def _unknown_parameter(product: Product, name: str) -> str:
    names = [*product.parameters, *product.metadata.filters]
    if name in (*product.metadata.filters, *SELECTING):
        miss = f"; {name} is one of sel()"
    elif name in ("variable", "variables"):
        miss = "; variables are chosen of the result: sel(...)[names]"
    else:
        miss = near_miss(name, [*names, *SELECTING])
    if not product.parameters:
        return f"{product.name} has no parameters, received {name!r}{miss}"
    also = ", ".join(SELECTING)
    return f"{product.name} has no parameter {name!r}; expected: {', '.join(names)}; for sel() also {also}{miss}"


def _resolve(product: Product, name: str, parameter: Parameter, value: Any) -> Any:
    several = value is None or (isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping))
    if not several or getattr(value, "ndim", 1) == 0:
        return _resolve_one(product, name, parameter, value)
    if name != STACKED:
        raise ParameterValueError(f"{product.name}: {name} takes one value, received {value!r}; open them one by one")
    if product.metadata.grid != "fixed":
        raise ParameterValueError(
            f"{product.name}: {name} takes one value, received {value!r}: its {product.metadata.grid} grid differs "
            "from cycle to cycle, so cycles cannot be stacked; open them one by one"
        )
    if value is None:
        return None
    values = sorted({_resolve_one(product, name, parameter, item) for item in value})
    if not values:
        raise ParameterValueError(f"{product.name}: {name} is empty; expected a cycle, several, or None for all")
    return values


def _resolve_one(product: Product, name: str, parameter: Parameter, value: Any) -> Any:
    try:
        if parameter.type == "int":
            converted: Any = _integer(value)
        elif parameter.type == "datetime":
            converted = as_date(value)
        else:
            converted = _text(value)
    except (TypeError, ValueError):
        expected = {"int": "an integer", "str": "a text", "datetime": "a day such as '2019-01-01'"}[parameter.type]
        raise ParameterValueError(
            f"{product.name}: {name} must be {expected}{_bounds(parameter)}, received {value!r:.200}"
        ) from None
    low, high = _limits(parameter)
    if (low is not None and converted < low) or (high is not None and converted > high):
        received = f"{product.name}: {name}={converted!s:.40}"
        raise ParameterValueError(f"{received} is out of bounds; expected{_bounds(parameter)}")
    if parameter.allowed and converted not in parameter.allowed:
        raise ParameterValueError(
            f"{product.name}: {name}={converted!r:.200} is unknown; expected one of: {', '.join(parameter.allowed)}"
        )
    return converted


def _limits(parameter: Parameter) -> tuple[Any, Any]:
    limits = (parameter.min, parameter.max)
    if parameter.type == "datetime":
        return tuple(None if limit is None else as_date(limit) for limit in limits)  # type: ignore[return-value]
    return limits


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bounds(parameter: Parameter) -> str:
    if parameter.min is not None and parameter.max is not None:
        return f" from {parameter.min} to {parameter.max}"
    if parameter.min is not None:
        return f" from {parameter.min} on"
    return ""
