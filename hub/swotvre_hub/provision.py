"""What ``swot-vre up`` installs beside the hub: session environment, proxy, Lab extension, kernels, sample datalake."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from swotvre_hub.bootstrap import CHECKOUT, BootstrapError, ensure_environment, ensure_uv
from swotvre_hub.errors import SetupError
from swotvre_hub.settings import Settings
from swotvre_hub.state import State
from swotvre_kernels.build import build_kernel

#: Settings of the Lab, and their folders in the session environment.
LAB_SETTINGS = {"overrides.json": "share/jupyter/lab/settings", "page_config.json": "etc/jupyter/labconfig"}
#: The oldest Node that the proxy and the extension build run on.
OLDEST_NODE = 20
#: Called with what is done now and with the share that is done, 0 to 1.
Progress = Callable[[str, float], None]


def ensure_session_parts(state: State, progress: Progress) -> None:
    """Make the session environment, the proxy and the Lab extension."""
    progress("JupyterLab", 0.0)
    _ensure_environment("lab", state)
    progress("proxy", 0.5)
    node = ensure_node(state)
    ensure_proxy(state, node)
    progress("Lab extension", 0.7)
    ensure_lab_extension(state, node)
    progress("ready", 1.0)


def ensure_kernels(settings: Settings, state: State, progress: Progress) -> None:
    """Build the kernels of the settings; one that is built and verified already costs nothing."""
    names = settings.kernels.install
    for number, name in enumerate(names):

        def report(step: str, fraction: float, name: str = name, number: int = number) -> None:
            progress(f"{name}: {step}", (number + fraction) / len(names))

        build_kernel(name, state.kernels(settings), progress=report)
    progress("ready", 1.0)


def ensure_datalake(settings: Settings, state: State, progress: Progress) -> None:
    """Write the sample datalake, unless the settings name another one."""
    if settings.datalake.url:
        progress(settings.datalake.url, 1.0)
        return
    command = [str(state.kernel_python(settings)), "-m", "swotvre_catalogs.sample", state.datalake(settings)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout is None or process.stderr is None:
        raise SetupError("the sample datalake's program has no output to read")
    for line in process.stdout:
        count, _, label = line.strip().partition(" ")
        done, _, total = count.partition("/")
        if done.isdigit() and total.isdigit():
            progress(label, int(done) / max(1, int(total)))
    message = process.stderr.read().strip()
    if process.wait():
        raise SetupError(
            f"the sample datalake could not be written: {message.splitlines()[-1] if message else command}"
        )
    progress("ready", 1.0)


def ensure_node(state: State) -> Path:
    """Return a ``node`` that is new enough and has npm beside it: the machine's, else one from its lock."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _node_version(Path(node)) >= OLDEST_NODE:
        return Path(node)
    return _ensure_environment("node", state) / "bin" / "node"


def ensure_proxy(state: State, node: Path) -> None:
    """Install configurable-http-proxy by its lock, and a program ``proxy`` that runs it with ``node``."""
    source = CHECKOUT / "hub" / "swotvre_hub" / "proxy"
    folder = state.root / "node"
    mark = _digest(*(source / name for name in ("package.json", "package-lock.json")))
    script = (
        f'#!/bin/sh\nexec "{node}" "{folder}/node_modules/configurable-http-proxy/bin/configurable-http-proxy" "$@"\n'
    )
    program = folder / "proxy"
    if _read(folder / ".complete") != mark:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        _npm(node, ["ci", "--omit=dev", "--ignore-scripts"], folder, state, "the proxy could not be installed")
        (folder / ".complete").write_text(mark, encoding="ascii")
    if _read(program) != script:
        program.write_text(script, encoding="utf-8")
        program.chmod(0o700)


def ensure_lab_extension(state: State, node: Path) -> None:
    """Build the Lab extension from its sources, and enable both its halves in the session environment."""
    source = CHECKOUT / "extensions" / "swotvre-lab"
    built = source / "swotvre_lab" / "labextension"
    lab = state.environment("lab")
    sources = sorted(
        path for part in ("src", "style", "schema") for path in (source / part).rglob("*") if path.is_file()
    )
    settings = source / "lab-settings"
    sources += [settings / "overrides.json", settings / "page_config.json"]
    mark = _digest(*sources, source / "package.json", source / "package-lock.json", source / "tsconfig.json")
    target = lab / "share" / "jupyter" / "labextensions" / "swotvre-lab"
    if _read(target / ".complete") == mark:
        return
    path = {"PATH": f"{lab / 'bin'}{os.pathsep}{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    why = "the Lab extension could not be built"
    _npm(node, ["ci"], source, state, why, path)
    _npm(node, ["run", "build:prod"], source, state, why, path)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(built, target)
    enabled = lab / "etc" / "jupyter" / "jupyter_server_config.d" / "swotvre_lab.json"
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"swotvre_lab": True}}}), encoding="ascii")
    # No news from elsewhere, no rebuild, no store of extensions: an environment from a lock stays what it is.
    for file, folder in (
        ("overrides.json", "share/jupyter/lab/settings"),
        ("page_config.json", "etc/jupyter/labconfig"),
    ):
        (lab / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(settings / file, lab / folder / file)
    (target / ".complete").write_text(mark, encoding="ascii")


def _ensure_environment(name: str, state: State) -> Path:
    try:
        return ensure_environment(name, state.root, ensure_uv(state.root), state.log / "setup.log")
    except BootstrapError as error:
        raise SetupError(str(error)) from error


def _npm(
    node: Path, arguments: list[str], folder: Path, state: State, why: str, variables: dict[str, str] | None = None
) -> None:
    npm = node.parent / "npm"
    command = [str(npm if npm.exists() else "npm"), *arguments, "--no-audit", "--no-fund", "--no-update-notifier"]
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    environment.update(variables or {})
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    with (state.log / "setup.log").open("a", encoding="utf-8") as stream:
        stream.write(done.stdout)
    if done.returncode:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-8:])
        raise SetupError(f"{why} (npm exit code {done.returncode}, see {state.log / 'setup.log'}):\n  {tail}")


def _node_version(node: Path) -> int:
    done = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
