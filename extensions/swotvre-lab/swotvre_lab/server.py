"""The single-user server of a session: JupyterLab behind JupyterHub's login."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_data_dir, jupyter_runtime_dir
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from jupyterlab.commands import get_user_settings_dir, get_workspaces_dir
from traitlets import default

#: Server extensions of the environment that a session does not use: the classic notebook's configuration, and a
#: bridge to language servers, which looks for a dozen programs at each start.
UNUSED_EXTENSIONS = ("notebook_shim", "jupyter_lsp")
#: Linux allows 107 bytes for the path of a socket; ``/kernel-<uuid>-ipc-<number>`` takes 52 of them.
LONGEST_SOCKET_FOLDER_BYTES = 55


class SessionKernelSpecManager(KernelSpecManager):
    """Kernels that were built for users, and users' own: not the interpreter that JupyterLab itself runs in."""

    @default("kernel_dirs")
    def _kernel_dirs_default(self) -> list[str]:
        offered = [name for name in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if name]
        return [os.path.join(folder, "kernels") for folder in (jupyter_data_dir(), *offered)]  # noqa: PTH118

    @default("ensure_native_kernel")
    def _ensure_native_kernel_default(self) -> bool:
        return False


def server_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return what every session sets, as arguments of Jupyter Server: a user's own files cannot change it."""
    arguments = [
        "--ServerApp.allow_root=True",
        # No other host is asked at a start: neither for news nor for a newer version.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        # JupyterLab asks for these two when it is imported: in the fork server, before there is a user.
        f"--LabApp.user_settings_dir={get_user_settings_dir()}",
        f"--LabApp.workspaces_dir={get_workspaces_dir()}",
        # Use of the session's processors, beside that of its memory. The warning compares percent with cores: off.
        "--ResourceUseDisplay.track_cpu_percent=True",
        "--ResourceUseDisplay.cpu_warning_threshold=0",
    ]
    if len(os.fsencode(environment.get("JUPYTER_RUNTIME_DIR") or jupyter_runtime_dir())) <= LONGEST_SOCKET_FOLDER_BYTES:
        # Any account of the machine can connect to a TCP port and read what a kernel prints.
        arguments.append("--KernelManager.transport=ipc")
    if has_offered_kernels(environment):
        arguments.append(f"--ServerApp.kernel_spec_manager_class={__name__}.SessionKernelSpecManager")
        if name := environment.get("SWOTVRE_DEFAULT_KERNEL"):
            arguments.append(f"--MultiKernelManager.default_kernel_name={name}")
    return arguments


def has_offered_kernels(environment: Mapping[str, str]) -> bool:
    """Return whether ``JUPYTER_PATH`` holds a kernel; without one the server's own interpreter has to do."""
    folders = [name for name in environment.get("JUPYTER_PATH", "").split(os.pathsep) if name]
    return any(os.path.isdir(os.path.join(name, "kernels")) for name in folders)  # noqa: PTH112, PTH118


def serve() -> None:
    """Run the server until it is told to stop."""
    extensions = {
        JupyterHubSingleUser.get_extension_package(): True,
        "swotvre_lab": True,
        **dict.fromkeys(UNUSED_EXTENSIONS, False),
    }
    server_app = JupyterHubSingleUser.make_serverapp(jpserver_extensions=extensions)
    server_app.initialize(argv=server_arguments(os.environ), starter_extension=JupyterHubSingleUser.name)
    server_app.start()
