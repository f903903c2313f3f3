"""Pages and directories of what many simulated fits say: of a calibration, and of a planned study."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from bayesdep.data.files import whole_directory
from bayesdep.reporting.export import write_table
from bayesdep.reporting.places import Place, write_manifest


def page_of(
    template: str, images: Mapping[str, bytes], captions: Mapping[str, str], about: Mapping[str, Any], **given: Any
) -> str:
    """Return a page of HTML that needs nothing else.

    Parameters
    ----------
    template
        Its file in ``reporting/page``.
    images
        PNG files, by name.
    captions
        Theirs, by name; what a picture says of itself is its text for those who do not see it.
    about
        ``model``, ``sampling`` and ``versions``.
    **given
        What else the template needs.

    Returns
    -------
    str
        HTML.
    """
    page = Environment(
        loader=PackageLoader("bayesdep.reporting", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template(template)
    pictures = []
    for name, image in images.items():
        seen = str(Image.open(io.BytesIO(image)).info.get("Description", ""))
        encoded = base64.b64encode(image).decode()
        pictures.append({"name": name, "png": encoded, "caption": captions[name], "alt": seen or captions[name]})
    return page.render(
        pictures=pictures,
        model=about["model"],
        sampling=", ".join(f"{k} {v}" for k, v in about["sampling"].items() if v is not None),
        versions=", ".join(f"{k} {v}" for k, v in about["versions"].items()),
        **given,
    )


def write_directory(
    place: Place,
    page: str,
    tables: Mapping[str, pd.DataFrame],
    images: Mapping[str, bytes],
    about: Mapping[str, Any],
    *,
    spreadsheet_safe: bool,
) -> None:
    """Write ``report.html``, tables as CSV, figures as PNG and ``manifest.json``, all or nothing.

    Parameters
    ----------
    place
        The directory; an earlier one of the same there is replaced once these files are complete.
    page
        The report.
    tables, images
        By the names of their files.
    about
        For the manifest.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    """
    earlier = place.manifest
    with place.held(), whole_directory(place.path, earlier.replaceable if earlier else ()) as partial:
        for name, table in tables.items():
            write_table(table, partial / f"{name}.csv", spreadsheet_safe=spreadsheet_safe)
        for name, image in images.items():
            (partial / f"{name}.png").write_bytes(image)
        (partial / "report.html").write_text(page, encoding="utf-8")
        write_manifest(partial, place.what, about)
