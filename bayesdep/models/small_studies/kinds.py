"""Which models of published effects there are, and what each has: an effect, a spread, a bias."""

from dataclasses import dataclass

# Biases, and their prior probabilities where models are averaged.
BIASES = {"absent": 0.5, "selection": 0.25, "pet": 0.125, "peese": 0.125}
COMPONENTS = ("effect", "spread", "bias", "selection", "pet", "peese")


@dataclass(frozen=True)
class Kind:
    """One of the models that are averaged: what is present in it.

    Parameters
    ----------
    effect, spread
        Whether the pooled effect and the spread may differ from zero.
    bias
        ``"absent"``, ``"selection"``, ``"pet"`` or ``"peese"``.
    """

    effect: bool
    spread: bool
    bias: str

    def has(self, component: str) -> bool:
        """Say whether a component, one of :data:`COMPONENTS`, is present."""
        if component in ("effect", "spread"):
            return bool(getattr(self, component))
        return self.bias != "absent" if component == "bias" else self.bias == component
