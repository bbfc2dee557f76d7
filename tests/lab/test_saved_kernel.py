"""What a saved notebook says about the kernel that ran it: a real server writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def write_kernelspec(server):
    """Install a kernel of the site, or another version of it."""
    folder = server.log.parent / "data" / "kernels"

    def write(version: str) -> None:
        content = json.loads((folder / "test-python" / "kernel.json").read_text())
        content["metadata"] = {"swot_vre": {"kernel": "swot-ocean", "version": version, "identity": "ab12"}}
        (folder / "swot-ocean").mkdir(exist_ok=True)
        (folder / "swot-ocean" / "kernel.json").write_text(json.dumps(content))

    return write


def start(server, path: str, kernel: str) -> str:
    body = {"path": path, "name": "", "type": "notebook", "kernel": {"name": kernel}}
    return str(server.request("POST", "api/sessions", body).raise_for_status().json()["id"])


def save(server, path: str) -> None:
    """Save as JupyterLab does, which knows nothing of what the server added before."""
    metadata = {"kernelspec": {"name": "swot-ocean", "display_name": "test", "language": "python"}}
    content = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "format": "json", "content": content}
    server.request("PUT", f"api/contents/{path}", body).raise_for_status()


def saved(server, path: str) -> Any:
    return json.loads((server.log.parent / "work" / path).read_text())["metadata"].get("swot_vre")


def test_a_notebook_records_the_version_that_ran_it_and_keeps_it(server, write_kernelspec):
    write_kernelspec("2026.11")
    notebook = "rings.ipynb"
    save(server, notebook)
    assert saved(server, notebook) is None, "no kernel has run it"
    session = start(server, notebook, "swot-ocean")
    write_kernelspec("2026.12")
    save(server, notebook)
    recorded = {"kernel": "swot-ocean", "version": "2026.11", "identity": "ab12"}
    assert saved(server, notebook) == recorded, "the site has switched meanwhile; the kernel runs on"

    server.request("DELETE", f"api/sessions/{session}").raise_for_status()
    save(server, notebook)
    assert saved(server, notebook) == recorded, "it was edited, and not run, since"

    session = start(server, notebook, "swot-ocean")
    save(server, notebook)
    assert saved(server, notebook)["version"] == "2026.12"
    server.request("DELETE", f"api/sessions/{session}").raise_for_status()

    session = start(server, notebook, "test-python")
    save(server, notebook)
    assert saved(server, notebook) is None, "a kernel without a version ran it"
    server.request("DELETE", f"api/sessions/{session}").raise_for_status()


def test_text_files_are_left_alone(server):
    body = {"type": "file", "format": "text", "content": "one line\n"}
    server.request("PUT", "api/contents/notes.txt", body).raise_for_status()
    assert (server.log.parent / "work" / "notes.txt").read_text() == "one line\n"
