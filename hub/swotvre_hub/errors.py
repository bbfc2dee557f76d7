"""The errors of the hub side: one root, one class per thing that a caller can do differently."""

from __future__ import annotations


class VreError(Exception):
    """Something a person can mend; the message says what was received, what was expected and what to do."""


class SettingsError(VreError):
    """A settings file that cannot be used."""


class SessionRequestError(VreError):
    """What a user asked for cannot be given."""

    #: Short label of the refusal, in JupyterHub's metrics.
    label = "options"


class UnknownSessionOptionError(SessionRequestError):
    """``user_options`` hold a key that no session knows."""

    label = "unknown-option"


class UnknownSessionSizeError(SessionRequestError):
    """The named session size does not exist."""

    label = "unknown-size"


class SessionSizeUnavailableError(SessionRequestError):
    """The session size exists, but this machine cannot hold it."""

    label = "size-unavailable"


class WalltimeError(SessionRequestError):
    """The asked duration is not one that the size allows."""

    label = "duration"


class QueueError(SessionRequestError):
    """The queue or project is not one that the user may choose."""

    label = "queue"


class ClusterOptionError(SessionRequestError):
    """An option of a Dask cluster is not one that it may have."""

    label = "cluster-option"


class KernelUnavailableError(SessionRequestError):
    """The kernel, or the version of it, is not installed, or cannot run a Dask cluster."""

    label = "kernel"


class CapError(SessionRequestError):
    """The user's or the project's Dask clusters together would take more than they may."""

    label = "cap"


class UserNameError(SessionRequestError):
    """A user name that cannot name a folder and an account."""

    label = "user-name"


class SetupError(VreError):
    """The installation lacks something: a program, a port, space."""
