"""SGLang: the engine over its native API, and what starts a server."""
