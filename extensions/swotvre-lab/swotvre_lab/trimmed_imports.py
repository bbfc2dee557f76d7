"""Import the single-user server without what a session does not use.

Three imports cost about half of the time, for functions that a session never calls:

- ``rfc3987_syntax`` builds a grammar when it is imported. Only jsonschema's ``iri`` format asks it. A module of the
  same interface stands in, and imports the real one at the first question.
- ``jupyterhub.log`` imports the hub's page handlers for one class, and the hub's metrics for one function.
- ``jupyterhub.scopes`` imports the hub's database layer (SQLAlchemy models, alembic), which is loaded at first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

GRAMMAR = "rfc3987_syntax"
HUB_DATABASE = "jupyterhub.orm"
HUB_PAGES = ("jupyterhub.handlers", "jupyterhub.handlers.pages", "jupyterhub.metrics")


def import_server() -> None:
    """Import everything that a session needs to answer, and start nothing: no thread, no event loop, no socket."""
    defer_grammar()
    load_lazily(HUB_DATABASE)
    with hub_pages_left_out():
        importlib.import_module("jupyterhub.log")
    # Not jupyterhub.singleuser.app: it patches ServerApp, and /lab would not answer.
    for name in ("jupyterhub.singleuser.extension", "jupyterlab.labapp", "swotvre_lab.server"):
        importlib.import_module(name)


def defer_grammar() -> None:
    """Put a stand-in for ``rfc3987_syntax`` in place, which imports the real module when it is first asked."""
    if GRAMMAR in sys.modules:
        return
    stand_in = ModuleType(GRAMMAR, "Stand-in that imports rfc3987_syntax at its first use.")

    def is_valid_syntax(rule: str, text: str) -> bool:
        if sys.modules.get(GRAMMAR) is stand_in:
            del sys.modules[GRAMMAR]
        return bool(importlib.import_module(GRAMMAR).is_valid_syntax(rule, text))

    stand_in.__dict__["is_valid_syntax"] = is_valid_syntax
    sys.modules[GRAMMAR] = stand_in


def load_lazily(name: str) -> None:
    """Make ``name`` importable now and loaded at the first use of one of its attributes."""
    if name in sys.modules:
        return
    parent, _, child = name.rpartition(".")
    package = importlib.import_module(parent)
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(package, child, module)


@contextmanager
def hub_pages_left_out() -> Iterator[None]:
    """Let ``jupyterhub.log`` be imported without the hub's pages; afterwards the real modules can be imported."""
    if any(name in sys.modules for name in ("jupyterhub.log", *HUB_PAGES)):
        yield
        return
    handlers, pages, metrics = (ModuleType(name) for name in HUB_PAGES)
    handlers.__path__ = []

    class HealthCheckHandler:
        """No handler of a session is one: the hub's health check is not served here."""

    def prometheus_log_method(handler: Any) -> None:
        """Count nothing: Jupyter Server has metrics of its own."""

    pages.__dict__["HealthCheckHandler"] = HealthCheckHandler
    metrics.__dict__["prometheus_log_method"] = prometheus_log_method
    sys.modules.update(zip(HUB_PAGES, (handlers, pages, metrics), strict=True))
    try:
        yield
    finally:
        for name in HUB_PAGES:
            sys.modules.pop(name, None)
