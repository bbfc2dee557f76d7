"""Read a settings file so that no mistake in it is swallowed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from swotvre_hub.errors import SettingsError


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice (plain YAML keeps the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; refuse a repeated key."""
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise SettingsError(f"line {line}: received {key!r} as a key; expected a plain word")
            if key in seen:
                raise SettingsError(
                    f"line {line}: received the key {key!r} a second time (first on line {seen[key]}); "
                    "expected each key once; delete one of the two"
                )
            seen[key] = line
        return super().construct_mapping(node, deep)


def read_yaml_mapping(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that ``text`` holds; an empty text is an empty mapping.

    Args:
        text: YAML.
        source: file name for messages.

    Raises:
        SettingsError: for broken YAML (with line and column), a repeated key, or something that is no mapping.
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise SettingsError(
            f"{source}, {where}: received text that is not YAML ({error.problem}); "
            "expected 'key: value' lines, indented with spaces"
        ) from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{source}: received text that is not YAML ({error})") from error
    except SettingsError as error:
        raise SettingsError(f"{source}, {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{source}: received a {type(value).__name__}; expected a mapping of 'key: value' lines")
    return value
