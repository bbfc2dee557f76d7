"""Quality flags by the meanings that a product gives them.

Source: CF conventions 1.11, section 3.5, "Flags": ``flag_values`` alone list exclusive values, ``flag_masks`` alone are
independent bits, both together are values within bits.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray

from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.swath.errors import UnknownFlagError
from swotvre_catalogs.swath.lines import find_variable

#: The one flag of all heights in L3_LR_SSH.
COMMON_FLAG = "quality_flag"


def find_flag(dataset: xarray.Dataset, variable: Hashable) -> str:
    """Return the name of the flag of a variable.

    It is the one that the variable names in its attribute ``quality_flag``, or ``<variable>_qual``, or else
    ``quality_flag`` of the dataset.

    Raises:
        UnknownFlagError: The dataset has none of these.
    """
    named = find_variable(dataset, variable).attrs.get("quality_flag")
    candidates = [str(name) for name in (named, f"{variable}_qual", COMMON_FLAG) if name]
    for name in candidates:
        if name in dataset.variables:
            return name
    flags = [str(name) for name, values in dataset.variables.items() if "flag_meanings" in values.attrs]
    raise UnknownFlagError(
        f"no flag for {variable}: there is neither of {', '.join(candidates)}; name one with flag=... out of: "
        f"{', '.join(flags) or 'none, the dataset has no variable with flag_meanings'}"
    )


def meanings(flag: xarray.DataArray) -> list[str]:
    """Return the meanings of a flag.

    Raises:
        UnknownFlagError: The variable has no ``flag_meanings``, or not as many values or masks as meanings.
    """
    words = str(flag.attrs.get("flag_meanings", "")).split()
    if not words or not ({"flag_values", "flag_masks"} & set(flag.attrs)):
        raise UnknownFlagError(f"{flag.name} has no flag_meanings with flag_values or flag_masks: it is not a flag")
    for name in ("flag_values", "flag_masks"):
        if name in flag.attrs and np.size(flag.attrs[name]) != len(words):
            raise UnknownFlagError(
                f"{flag.name} has {len(words)} flag_meanings, but {np.size(flag.attrs[name])} {name}"
            )
    return words


def has_meaning(flag: xarray.DataArray, meaning: str) -> xarray.DataArray:
    """Return where a flag has a meaning, as booleans; False where the flag itself is missing.

    Raises:
        UnknownFlagError: The flag has no such meaning.
    """
    words = meanings(flag)
    if meaning not in words:
        raise UnknownFlagError(
            f"{flag.name} has no meaning {meaning!r}{near_miss(meaning, words)}; expected one of: {', '.join(words)}"
        )
    index = words.index(meaning)
    bits = _as_bits(flag)
    value, mask = (_attribute(flag, name, index) for name in ("flag_values", "flag_masks"))
    if mask is None:
        found = bits == value
    elif value is None:
        found = (bits & mask) != 0
    else:
        found = (bits & mask) == value
    return (found & flag.notnull()).drop_attrs().assign_attrs(long_name=f"{flag.name}: {meaning}").rename(meaning)


def is_good(flag: xarray.DataArray) -> xarray.DataArray:
    """Return where nothing speaks against a value, as booleans; False where the flag itself is missing.

    With ``flag_values`` that is the meaning ``good`` where there is one; otherwise all bits are 0.
    """
    words = meanings(flag)
    if "flag_values" in flag.attrs and "good" in words:
        return has_meaning(flag, "good")
    return ((_as_bits(flag) == 0) & flag.notnull()).drop_attrs().rename("good")


def mask_by_flag(
    values: xarray.DataArray,
    flag: xarray.DataArray,
    *,
    good: bool = False,
    keep: Iterable[str] | str = (),
    drop: Iterable[str] | str = (),
) -> xarray.DataArray:
    """Return values where the flag allows them, else NaN.

    Raises:
        UnknownFlagError: The flag has no such meaning, or nothing was asked.
    """
    kept, dropped = ([names] if isinstance(names, str) else list(names) for names in (keep, drop))
    if not good and not kept and not dropped:
        raise UnknownFlagError(
            f"nothing to mask by: expected good=True, keep=... or drop=... out of: {', '.join(meanings(flag))}"
        )
    allowed = flag.notnull()
    if good or kept:
        wanted = [is_good(flag)] if good else []
        wanted += [has_meaning(flag, meaning) for meaning in kept]
        allowed = wanted[0]
        for condition in wanted[1:]:
            allowed = allowed | condition
    for meaning in dropped:
        allowed = allowed & ~has_meaning(flag, meaning)
    return values.where(allowed.reset_coords(drop=True)).assign_attrs(values.attrs)


def _as_bits(flag: xarray.DataArray) -> xarray.DataArray:
    # Decoded flags are floats, NaN where the file has its fill value.
    return flag if flag.dtype.kind in "iu" else flag.fillna(0).astype(np.int64)


def _attribute(flag: xarray.DataArray, name: str, index: int) -> Any:
    return int(np.atleast_1d(flag.attrs[name])[index]) if name in flag.attrs else None
