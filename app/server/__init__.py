"""Tune uvicorn; nothing but `app.__main__` needs this package.

With 1, 8, 32 and 128 clients it answers 7, 19, 42 and 19 % more requests a second than plain uvicorn, at 2.2, 0.9, 0.7
and 0.6 times its p99 (docs/performance.md, int8). An earlier run had 6 to 14 % (docs/log/serving.md). Besides, it has
bounds for every part of a request, refusals that reach their clients, and workers that are watched. It goes when plain
uvicorn or Granian comes within 5 % of its rate and 1.3 times its p99, and has these bounds.
"""
