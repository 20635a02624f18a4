"""Who takes part in `make bench-serving`: the table of servers, their environments and their applications."""
