"""The report of a search or an artifact as one HTML file, from plain data alone."""
