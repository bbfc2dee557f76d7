"""Dask clusters of this site from a notebook: ``swotvre.cluster(workers=8)``, ``swotvre.clusters()``.

Nothing of Dask is imported before it is needed.
"""

from swotvre.errors import (
    ClusterError,
    ClusterInterrupted,
    ClusterLostError,
    ClusterRefusedError,
    ClusterTimeoutError,
    GatewayUnreachableError,
    KernelMismatchError,
    NoGatewayError,
    NotLetInError,
)
from swotvre.listing import clusters
from swotvre.starting import cluster

__all__ = [
    "ClusterError",
    "ClusterInterrupted",
    "ClusterLostError",
    "ClusterRefusedError",
    "ClusterTimeoutError",
    "GatewayUnreachableError",
    "KernelMismatchError",
    "NoGatewayError",
    "NotLetInError",
    "cluster",
    "clusters",
]
