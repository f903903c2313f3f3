"""How the documentation site is built: `make docs`."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

project = "bayesdep"
author = "The bayesdep authors"
copyright = "The bayesdep authors, MIT licence"
(version,) = re.findall(
    r'^__version__ = "(.+)"', (ROOT / "bayesdep" / "__init__.py").read_text(encoding="utf-8"), flags=re.M
)
release = version

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "model_pages",
]
exclude_patterns = ["_build"]
nitpicky = False
autosummary_generate = True
autosummary_imported_members = True  # public names live in the subpackages
autodoc_typehints = "none"  # docstrings say what a parameter is, in words
autodoc_default_options = {"show-inheritance": False}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "literal"
highlight_language = "text"  # formulas; examples with prompts are seen as Python
add_module_names = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks' outputs are kept with them; tests execute them
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]

html_math_renderer = "literal"  # formulas are plain text: nothing is loaded from the network to show them

html_theme = "pydata_sphinx_theme"
html_title = "bayesdep"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": [], "which_model": [], "changelog": []}

# Notebooks are kept in one place, notebooks/, and shown from there.
(HERE / "tutorials").mkdir(exist_ok=True)
for old in (HERE / "tutorials").glob("*.ipynb"):
    old.unlink()
for notebook in (ROOT / "notebooks").glob("*.ipynb"):
    text = notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")  # the site's pages, from there
    (HERE / "tutorials" / notebook.name).write_text(text, encoding="utf-8")
