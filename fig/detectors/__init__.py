"""Detectors: each gives images a score, higher = more in-distribution; fig.detectors.table lists them."""
