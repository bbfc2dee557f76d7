"""The quality mask of a reduction: which pixels count.

``quality`` is one of

- None: every pixel that has a value;
- ``"good"``: the flag that belongs to the variable is 0: ``<variable>_qual``, or else ``quality_flag`` (level 3);
- a mapping from the names of flags to conditions, all of which have to hold. A condition is

  - a number, or several (a list, a tuple, a set, a range): the flag has one of these values;
  - one of its ``flag_meanings`` as a text, or several: the flag has one of these meanings;
  - ``{"without": bits}``: none of these bits is set; the bits as a number (``0b110``), or as ``flag_meanings``.

A pixel whose flag itself is missing does not count.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from swotvre_catalogs.cube.layout import VariableLayout
from swotvre_catalogs.parameters import near_miss
from swotvre_catalogs.reduce import kernels
from swotvre_catalogs.reduce.decoding import Scratch
from swotvre_catalogs.reduce.errors import QualityError
from swotvre_catalogs.reduce.packing import Packing

_EXPECTED = (
    "expected a number, a flag meaning, several of one of them, or {'without': bits or flag meanings}; "
    "see the how-to on fast computing"
)


@dataclass(frozen=True)
class Condition:
    """What one flag variable must be like for a pixel to count."""

    variable: str
    #: Numbers or flag meanings.
    items: tuple[int | str, ...]
    #: Whether ``items`` are bits none of which may be set, rather than values one of which the flag must have.
    are_bits: bool

    def values(self, attributes: Mapping[str, str]) -> tuple[int, ...]:
        """Return the items as numbers.

        Args:
            attributes: ``flag_meanings`` with ``flag_values`` or ``flag_masks`` of the variable, as texts.

        Raises:
            QualityError: If a meaning is unknown, or the flags are bits where values are meant, or the reverse.
        """
        if not any(isinstance(item, str) for item in self.items):
            return tuple(int(item) for item in self.items)
        wanted, other = ("flag_masks", "flag_values") if self.are_bits else ("flag_values", "flag_masks")
        if wanted not in attributes and other in attributes:
            use = "a list of meanings" if self.are_bits else "{'without': [...]}"
            raise QualityError(f"the flags of {self.variable} are {other[5:]}, not {wanted[5:]}; use {use} for them")
        numbers = [int(number) for number in re.findall(r"-?\d+", attributes.get(wanted, ""))]
        meanings = dict(zip(attributes.get("flag_meanings", "").split(), numbers, strict=False))
        for item in self.items:
            if isinstance(item, str) and item not in meanings:
                there = ", ".join(meanings) or "no flag meanings"
                raise QualityError(f"{self.variable} has no flag {item!r}{near_miss(item, meanings)}; it has: {there}")
        return tuple(meanings[item] if isinstance(item, str) else int(item) for item in self.items)


def parse_quality(quality: Any, variable: str, variables: Iterable[str]) -> tuple[Condition, ...]:
    """Return the conditions of a ``quality`` argument (see this module's description).

    Args:
        quality: None, ``"good"`` or a mapping.
        variable: The one that is reduced.
        variables: All that the product has.

    Raises:
        QualityError: If it is none of these, or the product has no such flag.
    """
    known = list(variables)
    if quality is None:
        return ()
    if isinstance(quality, str):
        if quality != "good":
            raise QualityError(f"quality is {quality!r}; expected 'good', or a mapping such as {{'quality_flag': 0}}")
        group = variable.rpartition("/")[0]
        flags = [f"{variable}_qual", f"{group}/quality_flag" if group else "quality_flag"]
        for flag in flags:
            if flag in known:
                return (Condition(flag, (0,), are_bits=False),)
        raise QualityError(
            f"{variable} has no quality flag of its own (looked for {' and '.join(flags)}); "
            "name one: quality={flag: 0}"
        )
    if not isinstance(quality, Mapping):
        raise QualityError(f"quality is {quality!r:.200}; expected None, 'good' or a mapping from flags to conditions")
    for flag in quality:
        if flag not in known:
            raise QualityError(f"no file has the flag {flag!r}{near_miss(str(flag), known)}")
    return tuple(_condition(flag, wanted) for flag, wanted in quality.items())


def _condition(flag: str, wanted: Any) -> Condition:
    are_bits = isinstance(wanted, Mapping)
    if isinstance(wanted, Mapping):
        if set(wanted) != {"without"}:
            raise QualityError(f"the condition of {flag} is {wanted!r:.200}; {_EXPECTED}")
        wanted = wanted["without"]
    items = wanted if isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes) else [wanted]
    try:
        checked = tuple(item if isinstance(item, str) else operator.index(item) for item in items)
    except TypeError:
        raise QualityError(f"the condition of {flag} is {wanted!r:.200}; {_EXPECTED}") from None
    if not checked:
        raise QualityError(f"the condition of {flag} is empty: no pixel could count; {_EXPECTED}")
    return Condition(flag, checked, are_bits)


def flag_attributes(layout: VariableLayout) -> dict[str, str]:
    """Return what the conditions need of a file's layout."""
    return dict(layout.meaning)


def reason_against_flag(layout: VariableLayout) -> str:
    """Return why the kernels cannot test a flag variable, in words; empty if they can."""
    packing = Packing.of(layout)
    if packing.is_float or (packing.scale, packing.offset) != (1.0, 0.0):
        return f"the flag {layout.name} is not stored as plain integers"
    return ""


class FlagTest:
    """One condition for one file layout, ready to be applied to the keys of the flag."""

    def __init__(self, condition: Condition, layout: VariableLayout) -> None:
        self.packing = Packing.of(layout)
        values = condition.values(flag_attributes(layout))
        self._bits: numpy.uint32 | None = None
        if condition.are_bits:
            self._bits = numpy.uint32(sum(1 << bit for bit in range(32) if any(value >> bit & 1 for value in values)))
        keys = [self.packing.key(value) for value in values]
        self._values = numpy.array([key for key in keys if key is not None], "u4")

    def apply(self, keys: NDArray[numpy.uint32], keep: NDArray[numpy.uint8], scratch: Scratch) -> None:
        """Clear ``keep`` where the pixel does not count."""
        fill, unfilled = self.packing.fill_key, self.packing.unfilled
        if self._bits is None:
            match = scratch.get("match", keep.size)
            kernels.keep_values(keys, self._values, fill, unfilled, match, keep)
        else:
            kernels.keep_without_bits(keys, self._bits, self.packing.flip, fill, unfilled, keep)
