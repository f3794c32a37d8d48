"""Doors to the outside world, one each: code fingerprints, the cluster, the tracking server, the command line."""
