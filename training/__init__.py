"""Train networks and measure them."""
