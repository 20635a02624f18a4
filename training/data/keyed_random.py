"""Draw random numbers that depend only on their key.

Every number is a function of (seed, stream, sample, position). Nothing has a state, so a resumed run, another batch
size and another device draw the same numbers. The generator is Philox2x32-10 (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), in integer arithmetic that is exact on every device.
"""

import torch
from torch import Tensor

MULTIPLIER = 0xD256D193
WEYL = 0x9E3779B9
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox(left: Tensor, right: Tensor, key: int) -> tuple[Tensor, Tensor]:
    """Return two 32-bit random words (int64 tensors) for each pair of 32-bit counters and a 32-bit key."""
    for _ in range(ROUNDS):
        product = left * MULTIPLIER  # wraps in int64, with the bits of the unsigned product
        high, low = (product >> 32) & MASK, product & MASK
        left, right = (high ^ key ^ right) & MASK, low
        key = (key + WEYL) & MASK
    return left, right


def uniform(seed: int, stream: int, samples: Tensor, count: int) -> Tensor:
    """Return uniform numbers (N, count) in [0, 1), float32, for the samples (N,) of one stream.

    Parameters
    ----------
    seed
        The run's seed.
    stream
        Number that separates one use from another, such as the epoch; below 65,536.
    samples
        Indices of the samples in the data set, below 2**32.
    count
        How many numbers each sample gets, at most 65,536.
    """
    positions = torch.arange(count, device=samples.device)  # (count,)
    right = ((stream & 0xFFFF) << 16) + positions.expand(len(samples), count)  # (N,count)
    left = samples.to(torch.int64).unsqueeze(1).expand(len(samples), count)
    word, _ = philox(left, right, seed & MASK)
    return (word >> 8).to(torch.float32) * 2.0**-24  # 24 bits are what a float32 holds exactly


def normal(seed: int, stream: int, samples: Tensor, count: int) -> Tensor:
    """Return standard normal numbers (N, count), float32, by inverting the normal distribution function."""
    u = uniform(seed, stream, samples, count)
    z: Tensor = torch.special.ndtri(u.double() + 2.0**-25)
    return z.float()


def permutation(seed: int, stream: int, count: int, device: torch.device) -> Tensor:
    """Return the order (count,) in which a stream visits its samples."""
    samples = torch.arange(count, device=device)
    word, _ = philox(samples, torch.full_like(samples, (stream & 0xFFFF) << 16), seed & MASK)
    return torch.argsort(word, stable=True)
