"""The state folder: everything that a running installation keeps, in one place."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from swotvre_hub.errors import SettingsError, SetupError
from swotvre_hub.settings import Settings, load_settings
from swotvre_kernels.install import active_environment, environment_python

#: Names the state folder for every process of an installation.
STATE_VARIABLE = "SWOTVRE_STATE"
#: A port chosen on the command line, for every process of this start.
PORT_VARIABLE = "SWOTVRE_PORT"


@dataclass(frozen=True)
class State:
    """Paths below the state folder (``.vre`` of a checkout)."""

    #: The folder itself, absolute.
    root: Path

    @property
    def run(self) -> Path:
        """Database, secrets, process ids: only the owner may look in."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """Logs of the hub, the proxy, the gateway and the sessions."""
        return self.root / "log"

    @property
    def site_file(self) -> Path | None:
        """The site's ``vre.yaml`` beside the state folder, if there is one."""
        path = self.root.parent / "vre.yaml"
        return path if path.exists() else None

    def environment(self, name: str) -> Path:
        """Return the virtual environment ``name`` (``hub`` or ``lab``)."""
        return self.root / "env" / name

    def kernels(self, settings: Settings) -> Path:
        """Return the prefix under which kernels are built."""
        return Path(settings.kernels.prefix) if settings.kernels.prefix else self.root / "kernels"

    def kernel_python(self, settings: Settings, kernel: str | None = None) -> Path:
        """Return the interpreter of the active build of ``kernel`` (default: the default kernel).

        Raises:
            SetupError: when no build is active.
        """
        name = kernel or settings.kernels.default
        if environment := active_environment(name, self.kernels(settings)):
            return environment_python(environment)
        # No build of ours: a kernelspec that the site put there.
        spec = self.kernels(settings) / "share" / "jupyter" / "kernels" / name / "kernel.json"
        try:
            return Path(json.loads(spec.read_text(encoding="utf-8"))["argv"][0])
        except (OSError, ValueError, LookupError) as error:
            raise SetupError(
                f"kernel {name!r} is not built: {spec} cannot be read ({error}); run 'swot-vre kernels build {name}'"
            ) from error

    def datalake(self, settings: Settings) -> str:
        """Return the address of the datalake: a folder or a URL."""
        return settings.datalake.url or str(self.root / "datalake")

    def workspace(self, settings: Settings, user_name: str) -> Path:
        """Return the folder of a user's files; ``user_name`` is a validated one."""
        if settings.sessions.workspace:
            return Path(settings.sessions.workspace.replace("{username}", user_name))
        return self.root / "home" / user_name


def find_state(option: str | None = None) -> State:
    """Return the state folder: the option, else ``SWOTVRE_STATE``, else ``.vre`` of the current folder."""
    return State(Path(option or os.environ.get(STATE_VARIABLE) or ".vre").absolute())


def load_installed_settings(state: State) -> Settings:
    """Return the settings of the installation in ``state``, with the port that this start was given.

    Raises:
        SettingsError: when ``vre.yaml`` is at fault.
    """
    settings = load_settings(state.site_file)
    port = os.environ.get(PORT_VARIABLE)
    if not port:
        return settings
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise SettingsError(f"{PORT_VARIABLE}: received {port!r}; expected a port number from 1 to 65535")
    return settings.model_copy(update={"hub": settings.hub.model_copy(update={"port": int(port)})})
