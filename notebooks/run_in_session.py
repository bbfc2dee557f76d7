"""Run notebooks inside a session of a running hub, as a user would: log in, start a session, run all cells.

``python notebooks/run_in_session.py --state .vre --output DIR [NOTEBOOK ...]`` starts a trial hub and writes the
executed notebooks, outputs included, to DIR. Without names it runs every tutorial.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import nbformat
import websocket

from swotvre_hub.trial import trial_folder, trial_hub

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
USER = "reader"
#: A session has this long to start, a cell to finish.
START_SECONDS, CELL_SECONDS = 60, 600


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


class SessionKernel:
    """A kernel that the session's own server starts, reached as JupyterLab reaches it."""

    def __init__(self, session_url: str, token: str, name: str) -> None:
        """Start the kernel ``name`` and connect to its channels."""
        headers = {"Authorization": f"token {token}"}
        self._server = httpx.Client(base_url=f"{session_url}api/", headers=headers, timeout=START_SECONDS)
        try:
            started = self._server.post("kernels", json={"name": name}).raise_for_status()
            self._id = started.json()["id"]
            self._channels = websocket.create_connection(
                f"{session_url.replace('http', 'ws', 1)}api/kernels/{self._id}/channels",
                header=[f"{key}: {value}" for key, value in headers.items()],
                timeout=CELL_SECONDS,
            )
        except BaseException:
            self._server.close()
            raise

    def run(self, code: str) -> list[nbformat.NotebookNode]:
        """Run ``code`` and return its outputs, an error among them."""
        message_id = uuid.uuid4().hex
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        header = {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "username": USER,
            "session": "",
            "version": "5.3",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self._channels.send(json.dumps(message))
        outputs: list[nbformat.NotebookNode] = []
        replaceable: dict[str, nbformat.NotebookNode] = {}
        while True:
            answer = json.loads(self._channels.recv())
            if answer["parent_header"].get("msg_id") != message_id or answer["channel"] != "iopub":
                continue
            kind = answer["msg_type"]
            if kind == "status" and answer["content"]["execution_state"] == "idle":
                return outputs
            if kind == "clear_output":
                outputs.clear()
            elif kind in {"stream", "display_data", "execute_result", "error"}:
                outputs.append(nbformat.v4.output_from_msg(answer))
                replaceable[answer["content"].get("transient", {}).get("display_id", "")] = outputs[-1]
            elif kind == "update_display_data":
                shown = answer["content"]
                replaceable[shown["transient"]["display_id"]].update(data=shown["data"], metadata=shown["metadata"])

    def close(self) -> None:
        """Disconnect, and end the kernel."""
        self._channels.close()
        self._server.delete(f"kernels/{self._id}").raise_for_status()
        self._server.close()


def execute(notebook: Path, session_url: str, token: str) -> nbformat.NotebookNode:
    """Return ``notebook`` with its outputs.

    Raises:
        RuntimeError: with the cell and its traceback, when a cell fails.
    """
    document = nbformat.read(notebook, as_version=4)
    with closing(SessionKernel(session_url, token, document.metadata.kernelspec.name)) as kernel:
        code = [cell for cell in document.cells if cell.cell_type == "code" and cell.source.strip()]
        for number, cell in enumerate(code, start=1):
            cell.execution_count, cell.outputs = number, kernel.run(cell.source)
            for output in cell.outputs:
                if output.output_type == "error":
                    lines = "\n".join(output.traceback)
                    raise RuntimeError(f"{notebook.name}, code cell {number}:\n{cell.source}\n\n{lines}")
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
