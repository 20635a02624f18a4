"""One paper a file, and the registry of all."""
