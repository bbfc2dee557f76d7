"""The sample datalake: a folder that looks like the site's, small enough for a laptop."""

from __future__ import annotations

from swotvre_catalogs.sample.errors import SampleError
from swotvre_catalogs.sample.plan import GENERATOR_VERSION

__all__ = ["GENERATOR_VERSION", "SampleError"]
