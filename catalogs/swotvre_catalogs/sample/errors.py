"""What can go wrong while the sample datalake is written."""

from __future__ import annotations


class SampleError(Exception):
    """The sample cannot be written; the message says what was found, what was expected and what to do."""
