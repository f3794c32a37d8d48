"""Rule table."""
