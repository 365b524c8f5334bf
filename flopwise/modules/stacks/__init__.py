"""Stacks: whole pipelines of layers that fit together, as a default search space."""
