"""Hostile input: attempts to make the package crash, hang, execute something or touch files that are not its own."""
