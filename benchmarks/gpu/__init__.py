"""Shared prefixes and the feeding of a server, measured on a GPU machine without a network.

Not yet run on a GPU: there are no results of it, and until some lie beside the other raw results nothing here is more
than ready to run. `README.md` beside this file says how.
"""
