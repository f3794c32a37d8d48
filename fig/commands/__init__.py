"""The commands of `fig`, one module each; what is slow to import is imported when it is called for."""
