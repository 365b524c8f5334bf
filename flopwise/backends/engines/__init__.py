"""Engines: what generates. `_base` is the protocol; each other file is one engine or what engines need."""
