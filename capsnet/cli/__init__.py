"""The `capsnet` command: the service from a shell. Stands on `capsnet`, and imports nothing of the service."""
