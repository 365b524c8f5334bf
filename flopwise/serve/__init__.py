"""An artifact behind HTTP: a typed endpoint, an OpenAI-compatible one, health and metrics. `flopwise serve` runs it."""
