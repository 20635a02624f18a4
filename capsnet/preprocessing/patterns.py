"""Patterns that look like a digit in one place: bars of a barcode, stripes, joints between bricks, a hatched area.

One piece of them is as good a 1 as any, and many pieces close together fill a shape. What gives them away is that there
are too many of a kind.
"""

import numpy as np

from capsnet.preprocessing.connected_components import Components

SLENDER = 0.4  # of its length, that a bar is wide
AS_LONG = 0.1  # of a bar's length: how far another's may be from it
BARS = 5  # so many equal ones are a pattern; four in a row may be digits
SEGMENTS = 7  # long pieces of a display's digit at most
SEGMENT = 0.1  # of the digit's longer edge, that a long piece is at least long


def is_pattern(parts: Components, digit: np.ndarray) -> bool:
    """Tell whether a digit, components bool (N,), is one of many equal bars, or has more pieces than a digit can."""
    length = np.maximum(parts.height, parts.width)
    if (length[digit] >= SEGMENT * max(parts.extent(digit))).sum() > SEGMENTS:
        return True
    slender, upright = parts.slender(SLENDER), parts.height > parts.width
    main = int(np.argmax(np.where(digit, parts.weight, 0)))
    along = slender & (upright == upright[main])
    # The segments of a display are bars too, some upright and some level.
    if not slender[main] or (digit & slender & ~along).any():
        return False
    alike = along & (np.abs(length - length[main]) <= AS_LONG * length[main])
    return int(alike.sum()) >= BARS
