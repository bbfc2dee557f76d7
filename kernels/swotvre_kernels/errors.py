"""The errors of the kernel builder."""

from __future__ import annotations


class KernelError(Exception):
    """Something about a kernel that a person can mend; the message says what to do."""
