"""Run notebooks inside a session of a running hub, as a user would: log in, start a session, run all cells.

``python notebooks/run_in_session.py --state .vre --output DIR [NOTEBOOK ...]`` starts a trial hub and writes the
executed notebooks, outputs included, to DIR. Without names it runs every tutorial.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import nbformat
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient

from swotvre_hub.trial import trial_folder, trial_hub

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
USER = "reader"
#: A session has this long to start, a cell to finish.
START_SECONDS, CELL_SECONDS = 60, 300


def log_in(url: str, user: str, password: str) -> str:
    """Log in to the hub at ``url`` as a browser does; return a token for its REST API with the rights of ``user``."""
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
        client.get("hub/login")
        form = {"username": user, "password": password, "_xsrf": client.cookies.get("_xsrf", path="/hub/")}
        client.post("hub/login", data=form).raise_for_status()
        # The page gives the value that a request for a token must repeat.
        client.get("hub/token").raise_for_status()
        headers = {"X-XSRFToken": str(client.cookies.get("_xsrf", path="/hub/")), "Referer": str(client.base_url)}
        answer = client.post(f"hub/api/users/{user}/tokens", json={"note": "run_in_session.py"}, headers=headers)
        answer.raise_for_status()
        return str(answer.json()["token"])


@contextmanager
def session(url: str, user: str, token: str, options: dict[str, Any]) -> Iterator[str]:
    """Start a session with ``options``, yield its address, stop it."""
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=f"{url}hub/api/", headers=headers, timeout=60) as api:
        started = api.post(f"users/{user}/server", json=options)
        if started.status_code >= 400:
            raise RuntimeError(f"the session was refused ({started.status_code}): {started.json().get('message')}")
        deadline = time.monotonic() + START_SECONDS
        while not (server := api.get(f"users/{user}").json()["servers"].get("", {})).get("ready"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the session was not ready after {START_SECONDS} s; the hub knows: {server}")
            time.sleep(0.1)
        try:
            yield f"{url}user/{user}/"
        finally:
            api.delete(f"users/{user}/server").raise_for_status()


def execute(notebook: Path, session_url: str, token: str) -> nbformat.NotebookNode:
    """Return ``notebook`` with its outputs, run by a kernel that the session's own server starts."""
    document = nbformat.read(notebook, as_version=4)
    GatewayClient.clear_instance()
    GatewayClient.instance(url=session_url.rstrip("/"), auth_token=token, auth_scheme="token")
    manager = GatewayKernelManager(kernel_name=document.metadata.kernelspec.name)
    NotebookClient(document, km=manager, timeout=CELL_SECONDS).execute()
    return document


def run(notebooks: list[Path], installed: Path, output: Path) -> None:
    """Run ``notebooks`` one after the other in one session, and write each with its outputs into ``output``."""
    output.mkdir(parents=True, exist_ok=True)
    with trial_folder(installed) as state, trial_hub(state) as hub:
        token = log_in(hub.url, USER, hub.password)
        with session(hub.url, USER, token, {"size": "small", "walltime_hours": 1}) as session_url:
            for notebook in notebooks:
                started = time.monotonic()
                nbformat.write(execute(notebook, session_url, token), output / notebook.name)
                print(f"{notebook.name}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Run the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description="Run notebooks in a session of a trial hub.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="notebooks (default: every tutorial)")
    parser.add_argument("--state", type=Path, default=Path(".vre"), help="state folder that has everything installed")
    parser.add_argument("--output", type=Path, required=True, help="folder for the executed notebooks")
    args = parser.parse_args()
    run(args.notebooks or sorted(TUTORIALS.glob("*.ipynb")), args.state.absolute(), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
