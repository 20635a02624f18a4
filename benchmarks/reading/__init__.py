"""Pages of handwritten numbers, and how well they are read."""
