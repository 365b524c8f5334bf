"""Tools: techniques that call functions or run programs on the way to an answer."""
