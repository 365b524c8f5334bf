"""Servers of tools that speak the Model Context Protocol, through its official client."""
