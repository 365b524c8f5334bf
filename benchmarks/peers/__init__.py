"""Other projects' methods on flopwise's engine, behind the same meter."""
