"""Prepared data that show what was read, and no cell of it."""

from typing import Any

import xarray as xr

from bayesdep.data.html_text import paragraph, piece, rows_of_cells


class ReadData(xr.Dataset):  # type: ignore[no-untyped-call]  # xarray's hook for subclasses is not typed
    """A dataset that a notebook shows without its values: a lab's sample names and cells stay in the file.

    Values are shown when they are asked for: ``data["outcome"]``, ``data.to_dataframe()``.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [f"{name} ({', '.join(dims) or 'one number'}) {units}".rstrip() for name, dims, units in self._listed]
        return "\n".join([*self._what, "sizes: " + ", ".join(f"{d} {n}" for d, n in self.sizes.items()), *lines])

    def _repr_html_(self) -> str:
        sizes = [[str(d), str(n)] for d, n in self.sizes.items()]
        rows = [[name, ", ".join(dims), units] for name, dims, units in self._listed]
        first, *rest = self._what
        return piece(
            paragraph(first, warning=first.startswith("SYNTHETIC")),
            *(paragraph(line) for line in rest),
            rows_of_cells("", ["Dimension", "Size"], sizes),
            rows_of_cells("", ["Variable", "By", "Units"], rows),
        )

    @property
    def _what(self) -> list[str]:
        """What was read, in sentences without a value of it."""
        attrs = self.attrs
        marks = ["SYNTHETIC DATA: these numbers describe a simulation, not patients."] if attrs.get("synthetic") else []
        title = [str(attrs["title"])] if attrs.get("title") else []
        source = f"Read from {attrs.get('source', 'a table')}, sha256 {str(attrs.get('sha256', ''))[:16]}."
        notes = len(str(attrs.get("notes", "")).splitlines())
        left = [str(attrs["left_out"])] if attrs.get("left_out") else []
        said = f"{notes} notes on how it was read: data.attrs['notes']." if notes > 1 else ""
        said = "1 note on how it was read: data.attrs['notes']." if notes == 1 else said
        return [*marks, *title, source, *left, *([said] if said else [])]

    @property
    def _listed(self) -> list[tuple[str, tuple[str, ...], str]]:
        return [(str(n), tuple(map(str, v.dims)), str(v.attrs.get("units", ""))) for n, v in self.data_vars.items()]


def as_read(data: Any) -> ReadData:
    """Return prepared data as :class:`ReadData`.

    Parameters
    ----------
    data
        An :class:`xarray.Dataset`.

    Returns
    -------
    ReadData
        The same variables, coordinates and attributes.

    Examples
    --------
    >>> data = as_read(xr.Dataset({"outcome": ("subject", [1.5, 2.5])}, {"subject": ["P017", "P018"]}))
    >>> "P017" in repr(data), "P017" in data._repr_html_(), float(data["outcome"].sel(subject="P017"))
    (False, False, 1.5)
    """
    return data if isinstance(data, ReadData) else ReadData(data.data_vars, data.coords, data.attrs)
