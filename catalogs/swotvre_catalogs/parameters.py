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


def near_miss(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for a name like one of ``names``, or nothing."""
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _unknown_parameter(product: Product, name: str) -> str:
    if not product.parameters:
        return f"{product.name} has no parameters, received {name!r}"
    names = [*product.parameters, *product.metadata.filters]
    miss = f"; {name} is one of sel()" if name in product.metadata.filters else near_miss(name, names)
    return f"{product.name} has no parameter {name!r}; expected: {', '.join(names)}{miss}"


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
