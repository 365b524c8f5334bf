"""Retrieval: passages and memories that are found for an input, and techniques that read them."""
