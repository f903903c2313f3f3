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
            [name, str(self.priors[name]), slot.meaning, slot.units, chosen_by(self.priors[name], slot)]
            for name, slot in self.slots.items()
        ]
        return piece(
            paragraph(f"{type(self).__name__}: {self.words}"),
            preformatted("\n".join(self.formula)),
            rows_of_cells("Priors", ["Parameter", "Prior", "Meaning", "Units", "Chosen by"], rows),
        )


def chosen_by(prior: "Prior", slot: "Slot") -> str:
    """Return who chose a prior, the model or who set one, and the reason where it was stated."""
    who = "the model's default" if prior == slot.default else "you"
    return f"{who}: {prior.why}" if prior.why else who
