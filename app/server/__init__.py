"""Tune uvicorn; nothing but `app.__main__` needs this package.

It brings 6 to 14 % more requests a second than plain uvicorn and half of the p99 with 128 clients. Besides, it has
bounds for every part of a request, refusals that reach their clients, and workers that are watched. It goes when plain
uvicorn or Granian comes within 5 % of its rate and 1.3 times its p99, and has these bounds (docs/log/serving.md).
"""
