"""Kernels of swot-vre: locked, versioned environments, built beside the old one and switched when verified."""
