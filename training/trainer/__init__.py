"""Run the epochs of a training and keep its state."""
