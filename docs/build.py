"""Build the documentation site: ``make docs``.

Runs every tutorial in a session of a hub of its own, writes the reference pages from the code, and lets Sphinx do the
rest.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel

from swotvre_hub.cli import NOUNS, build_parser
from swotvre_hub.settings import Settings, read_defaults

DOCS = Path(__file__).resolve().parent
CHECKOUT = DOCS.parent
GENERATED = DOCS / "reference" / "generated"
#: Public modules whose functions and classes get a page.
API = (
    *(
        "swotvre",
        "swotvre_catalogs",
        "swotvre_catalogs.catalog",
        "swotvre_catalogs.selection",
        "swotvre_catalogs.swath.accessor",
    ),
    *("swotvre_hub.settings", "swotvre_hub.sessions", "swotvre_kernels.build"),
)


def write_settings_page() -> None:
    """Write the reference of the settings from their schema and their defaults."""
    lines = [
        "# Settings",
        "",
        "A site's `vre.yaml` lies beside the state folder. A top-level key in it replaces the whole block of the",
        "defaults. `swot-vre check` says what is wrong with it.",
        "",
    ]
    defaults = read_defaults()
    for name, field in Settings.model_fields.items():
        lines += [f"## `{name}`", ""]
        block = _block_of(field.annotation)
        if block is None:
            lines += [f"{field.description}", "", f"Default: `{defaults[name]}`", ""]
            continue
        lines += [str(block.__doc__).strip(), "", *_table(block), "", "Default:", ""]
        lines += ["```yaml", yaml.safe_dump({name: defaults[name]}, sort_keys=False).strip(), "```", ""]
    _write("settings.md", lines)


def write_commands_page() -> None:
    """Write the reference of the command line from its parsers."""
    lines = ["# Commands", ""]
    parser = build_parser()
    nouns = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in _commands("swot-vre", nouns):
        buffer = io.StringIO()
        command.print_help(buffer)
        lines += [f"## `{name}`", "", "```text", buffer.getvalue().strip(), "```", ""]
    if len(lines) < 4 * len(NOUNS):
        raise SystemExit("docs/build.py: the command line has no commands to describe")
    _write("commands.md", lines)


def write_api_pages() -> None:
    """Write a page for each public module."""
    for module in API:
        _write(
            f"api/{module}.md",
            [f"# `{module}`", "", "```{eval-rst}", f".. automodule:: {module}", "   :members:", "```"],
        )


def execute_tutorials(state: Path) -> None:
    """Run the tutorials in a session and put them, with their figures, where Sphinx finds them."""
    for stale in (DOCS / "tutorials").glob("*.ipynb"):
        stale.unlink()
    script = CHECKOUT / "notebooks" / "run_in_session.py"
    subprocess.run([sys.executable, script, "--state", str(state), "--output", str(DOCS / "tutorials")], check=True)


def _commands(
    prefix: str, nouns: argparse._SubParsersAction[argparse.ArgumentParser]
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for name, parser in nouns.choices.items():
        deeper = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if deeper:
            yield from _commands(f"{prefix} {name}", deeper[0])
        else:
            yield f"{prefix} {name}", parser


def _block_of(annotation: object) -> type[BaseModel] | None:
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _table(block: type[BaseModel]) -> list[str]:
    rows = ["| key | type | meaning |", "|---|---|---|"]
    schema = block.model_json_schema()
    for name, field in block.model_fields.items():
        rows.append(f"| `{name}` | {_type_of(schema['properties'][name])} | {field.description} |")
    return rows


def _type_of(schema: dict[str, object]) -> str:
    words = {
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
        "array": "list",
        "object": "mapping",
    }
    if "$ref" in schema:
        return "mapping"
    kind = words.get(str(schema.get("type")), str(schema.get("type")))
    bounds = [
        f"{sign} {schema[key]:g}" if isinstance(schema[key], float | int) else f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in schema
    ]
    return ", ".join([kind, *bounds])


def _write(name: str, lines: list[str]) -> None:
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Build the site; return Sphinx's exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--state", type=Path, default=Path(os.environ.get("SWOTVRE_STATE", CHECKOUT / ".vre")))
    parser.add_argument("--no-notebooks", action="store_true", help="leave the tutorials out: no hub is started")
    args = parser.parse_args()
    write_settings_page()
    write_commands_page()
    write_api_pages()
    if not args.no_notebooks:
        swot_vre = args.state / "env" / "hub" / "bin" / "swot-vre"
        subprocess.run([swot_vre, "up", "--only-install", "--state", str(args.state)], check=True)
        execute_tutorials(args.state)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "--keep-going", "-q", DOCS, DOCS / "_build" / "html"]
    if not args.no_notebooks:
        command.append("-W")  # without them, the list of tutorials is empty, and Sphinx says so
    with contextlib.suppress(KeyboardInterrupt):
        code = subprocess.run(command, check=False).returncode
        print(f"the site is in {DOCS / '_build' / 'html' / 'index.html'}" if code == 0 else "Sphinx found faults")
        return code
    return 130


if __name__ == "__main__":
    sys.exit(main())
