"""Benchmarks of the service: each is a make target that prints a table and writes JSON (docs/performance.md)."""
