"""What runs inside the sandbox. It sees Python's own library (and clingo), so it imports nothing of ours but itself."""
