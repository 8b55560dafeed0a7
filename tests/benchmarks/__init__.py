"""Figures of the running product: `make bench`."""
