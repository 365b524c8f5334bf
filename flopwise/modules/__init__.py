"""What users write with: signatures, modules, choices, programs and the combinators between them."""
