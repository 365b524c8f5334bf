"""Spending: how much is computed for an input depends on how sure or how hard it is."""
