"""Which entries of a weight to keep: pure functions of tensors, importing nothing else of ours.

The closed sets stand here, so that settings can be typed with them before torch is imported.
"""

from typing import Literal

# What an entry is ranked by when pruning (masks.py).
ScoreName = Literal["W", "UV", "update", "W+UV", "W+update", "inverse_UV", "inverse_update", "random"]

# The same, from a few training batches: Wanda (Sun et al. 2024) and the first-order score of Molchanov et al. 2017.
DataScore = Literal["wanda", "gradient"]
WITHOUT_ADAPTER = ("W", "random", "wanda", "gradient")  # scores that read no adapter

# What a group of rows or columns, a head or a neuron, is ranked by when narrowing (adapters/group_scores.py).
GroupScore = Literal["update", "W+update", "magnitude", "coefficient", "gradient", "random"]

# Among which entries the smallest are dropped; 2:4 keeps exactly two of every four neighbouring inputs.
Scope = Literal["model", "weight", "row", "1:4", "2:4", "4:8"]

# Where the K entries of S2 sit (decomposition.py); `authors` is the decomposition with the authors' constants.
Placement = Literal["decomposition", "authors", "magnitude", "random", "gradient", "none"]
