"""Draw and write reports."""
