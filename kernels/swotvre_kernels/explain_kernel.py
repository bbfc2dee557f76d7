"""A kernel that answers every cell with the reason why the wanted one does not start.

Run as a file by the interpreter of any kernel of the site: ``python explain_kernel.py CONNECTION_FILE REASON``.
"""

from __future__ import annotations

import sys
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Explanation(Kernel):
    """Computes nothing."""

    implementation = "swot-vre"
    implementation_version = "1"
    language_info = {"name": "python", "mimetype": "text/x-python", "file_extension": ".py"}  # noqa: RUF012
    banner = sys.argv[2]

    async def do_execute(self, code: str, silent: bool, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Fail with the reason."""
        error = {"ename": "KernelNotStarted", "evalue": self.banner, "traceback": [self.banner]}
        if not silent:
            self.send_response(self.iopub_socket, "error", error)  # type: ignore[no-untyped-call]
        return {"status": "error", "execution_count": self.execution_count, **error}


if __name__ == "__main__":
    IPKernelApp.launch_instance(argv=["-f", sys.argv[1]], kernel_class=Explanation)
