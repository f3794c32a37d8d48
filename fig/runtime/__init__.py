"""The outside world, one door each: code fingerprints, the cluster, the tracking server, the command line."""
