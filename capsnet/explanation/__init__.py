"""Locate the evidence for a class in an image: cover patches (`occlusion`), or read the routing (`votes`)."""
