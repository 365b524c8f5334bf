"""Importers: programs of other projects, read from what they save, as modules of ours."""
