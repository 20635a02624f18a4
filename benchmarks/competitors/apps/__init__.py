"""The same encoder behind other servers; each file is started by itself, in an environment of its own."""
