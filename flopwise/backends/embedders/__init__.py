"""What turns texts into vectors: the Embedder protocol, a lexical one that needs nothing, and a real model."""
