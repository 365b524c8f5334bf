"""The leaf of the house: what programs, plans and requests are made of. Imports nothing of ours but errors."""
