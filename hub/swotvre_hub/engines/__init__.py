"""Batch systems: which commands they are asked with, and what their answers mean. No input or output happens here."""
