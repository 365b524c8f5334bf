"""Prompting: techniques of one call or a few, which differ in what the model is asked to write before its answer."""
