"""Speak HTTP: routes, schemas, middleware and errors as problem details."""
