"""Patches cover an image, and the heat of a pixel is what its patches say."""

import numpy as np

from capsnet.explanation import occlusion


def test_patches_cover_every_pixel_and_the_heat_is_their_mean() -> None:
    image = np.zeros((1, 10, 12), np.float32)
    image[:, 4, 5] = 1
    copies = occlusion.covered(image, 4, 3)
    assert len(copies) == 3 * 4  # at 0, 3 and 6, and at 0, 3, 6 and 8
    falls = np.array([float(copy.max() == 0) for copy in copies], np.float32)
    heat = occlusion.heat(falls, (10, 12), 4, 3)
    assert heat[4, 5] == heat.max() == 1
    assert heat[9, 0] == 0
