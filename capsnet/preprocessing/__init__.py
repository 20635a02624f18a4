"""Turn any image file into the array that a network was trained on."""
