"""Commands that measure flopwise, beside peers, on the same engine: `python -m benchmarks NAME`."""
