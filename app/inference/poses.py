"""The functions of `capsnet.poses`, under the name that this package imports."""

from capsnet.poses import Floats, linspace_exact, other_winners, perturb, rank, scatter_poses, sweep

__all__ = ["Floats", "linspace_exact", "other_winners", "perturb", "rank", "scatter_poses", "sweep"]
