"""What runs inside the sandbox. It sees only the standard library, so it imports nothing of ours but itself."""
