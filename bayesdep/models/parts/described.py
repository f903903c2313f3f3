"""How a notebook shows a model: in words, as a formula, and with the meaning of every prior."""

from typing import TYPE_CHECKING, Any

from bayesdep.data.html_text import paragraph, piece, preformatted, rows_of_cells

if TYPE_CHECKING:
    from bayesdep.models.parts.priors import Slot
    from bayesdep.numerics.distributions import Prior


class Described:
    """A model's settings that show themselves in a notebook."""

    def _repr_html_(self: Any) -> str:
        rows = [
            [name, str(self.priors[name]), slot.meaning, slot.units, justification(self.priors[name], slot)]
            for name, slot in self.slots.items()
        ]
        return piece(
            paragraph(f"{type(self).__name__}: {self.words}"),
            preformatted("\n".join(self.formula)),
            rows_of_cells("Priors", ["Parameter", "Prior", "Meaning", "Units", "Justification"], rows),
        )


def justification(prior: "Prior", slot: "Slot") -> str:
    """Return whether a prior is the model's default, and why it was chosen, as far as that was stated."""
    is_default = prior == slot.default
    if prior.why:
        return f"{"the model's default" if is_default else 'chosen for this study'}: {prior.why}"
    if not is_default:
        return 'chosen for this study; no reason was stated (why = "..." beside the prior)'
    if prior.times_scale:
        return "the model's default: weakly informative, a multiple of the outcome's sd, so that units do not matter"
    return "the model's default: weakly informative; its reason is in the model's documentation"
