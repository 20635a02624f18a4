"""The `capsnet` command: the service from a shell. Stands on `app.client`, and imports nothing of the service."""
