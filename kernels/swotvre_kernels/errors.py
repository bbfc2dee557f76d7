"""The errors of the kernel builder: one root, one class per thing that a caller can do differently."""

from __future__ import annotations


class KernelError(Exception):
    """Something about a kernel that a person can mend; the message says what to do."""


class UnknownKernelError(KernelError):
    """No environment definition, or no installed kernel, has this name."""


class DefinitionError(KernelError):
    """An ``environment.toml`` (or a file that it names) cannot be used."""


class LockError(KernelError):
    """A lock is missing, malformed, or does not hold what the definition asks for."""


class InterpreterError(KernelError):
    """No Python of the wanted version, or no uv, was found."""


class ProjectError(KernelError):
    """What was given as the project is neither a checkout nor a wheel of swot-vre."""


class PrefixError(KernelError):
    """The folder of the kernels cannot be written or read."""


class NoSpaceError(KernelError):
    """The disk cannot hold the environment."""


class KernelBusyError(KernelError):
    """Another build or removal works in the same prefix."""


class InstallError(KernelError):
    """Uv could not make or fill the environment; the log says more."""


class VerificationError(KernelError):
    """An environment was made but does not work: an import or the smoke notebook failed."""


class ActiveKernelError(KernelError):
    """The kernel is the one that new sessions start."""


class RollbackError(KernelError):
    """No older version of the kernel can be gone back to."""
