"""Commands of the command line beside those that fit: each parses, calls, prints."""
