"""The stages: one module is one rule and one command line; the only code that reads and writes results."""
