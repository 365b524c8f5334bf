"""The runtime: executor, prefix scheduler, radix tree, meter, sample bank, sandbox."""
