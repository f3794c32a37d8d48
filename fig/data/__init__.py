"""From publishers' files to arrays to batches."""
