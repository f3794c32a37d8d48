"""Rule download."""
