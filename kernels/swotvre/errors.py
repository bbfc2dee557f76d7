"""What can go wrong with a cluster, in words; a notebook shows the words and no traceback."""

from __future__ import annotations


class _InWords:
    """Shown by IPython as one line: the frames of Dask's clients help nobody here."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ClusterError(_InWords, Exception):
    """A cluster cannot be had or kept; the message says why, and what to do."""


class NoGatewayError(ClusterError):
    """This session knows of no Dask Gateway."""


class GatewayUnreachableError(ClusterError):
    """Dask Gateway does not answer."""


class NotLetInError(ClusterError):
    """Dask Gateway does not accept the token of this session."""


class ClusterRefusedError(ClusterError):
    """What was asked for cannot be had: an argument, a limit of the site."""


class KernelMismatchError(ClusterRefusedError):
    """The workers would not run what the notebook runs."""


class ClusterLostError(ClusterError):
    """The cluster failed, or was ended."""


class ClusterTimeoutError(ClusterError):
    """The cluster was not ready in the time that it was given."""


class ClusterInterrupted(_InWords, KeyboardInterrupt):
    """The user interrupted the start of a cluster; the message says what became of it."""
