"""What a compiled density returns, as nutpie reads it."""

OK = 0
NOT_FINITE = 3  # positive: a divergent transition
WRONG_LENGTH = -1  # negative: an error
