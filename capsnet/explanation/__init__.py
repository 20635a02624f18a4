"""Where in an image is the evidence for a class: cover patches (`occlusion`), or read the routing (`votes`)."""
