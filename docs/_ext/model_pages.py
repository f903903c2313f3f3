"""Directives of the site: what a page says of a model is read from its code, its plans and its calibration."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from typer.main import get_command

import bayesdep as bd
from bayesdep.cli import app
from bayesdep.plan import read_plan
from bayesdep.reporting.figures.register import FIGURES

ROOT = Path(__file__).parents[2]
CALIBRATION = ROOT / "docs" / "evidence" / "calibration.md"


class _Made(Directive):
    """A directive whose content is reStructuredText that it makes."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines = StringList(self.text().splitlines(), source=str(self.state.document.current_source))
        node = nodes.container()
        self.state.nested_parse(lines, self.content_offset, node)
        return node.children

    def text(self) -> str:
        raise NotImplementedError


def rst_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        for i, cell in enumerate(row):
            lines.append(f"   {'* -' if i == 0 else '  -'} {cell or chr(160)}")
    return "\n".join(lines)


def literal(lines: list[str]) -> str:
    """Return a literal block."""
    return "\n".join([".. code-block:: text", "", *(f"   {line}" for line in lines)])


class Generative(_Made):
    """The generative model as the class's docstring has it: everything before its parameters."""

    def text(self) -> str:
        doc = inspect.getdoc(getattr(bd, self.arguments[0])) or ""
        return with_links(re.split(r"\n(?:Parameters|Raises|Examples|Attributes)\n-+\n", doc)[0])


class Settings(_Made):
    """A model as one of its plans sets it: words, formula, priors in units, figures."""

    option_spec: ClassVar[dict[str, Any]] = {"settings": directives.unchanged}

    def text(self) -> str:
        model, origin = model_of(self.arguments[0], self.options.get("settings"))
        parts = [f"{origin} In words: {model.words}", "", literal(list(model.formula)), ""]
        rows = []
        for name, slot in model.slots.items():
            prior = model.priors.get(name)
            default = "none: it must be given" if slot.default is None else f"`{slot.default}`"
            set_to = "" if prior is None or prior == slot.default else f"`{prior}`"
            rows.append([f"`{name}`", slot.meaning, slot.units, default, set_to])
        parts += ["Priors of these settings:", ""]
        columns = 5 if any(row[4] for row in rows) else 4
        header = ["parameter", "meaning", "units", "default", "set to"]
        parts.append(rst_table(header[:columns], [row[:columns] for row in rows]))
        names = getattr(model, "figures", ())
        if names:
            parts += ["", "Figures beside those that every fit has:", ""]
            parts += [f"- *{name}*: {FIGURES[name].caption}" for name in names]
        parts += ["", f"Leave-one-out leaves out one {model.left_out} at a time."]
        return "\n".join(parts)


def model_of(argument: str, settings: str | None) -> tuple[Any, str]:
    """Return the model of a plan, or the public class with settings given as a TOML table, and where it comes from."""
    if settings is not None:
        return getattr(bd, argument)(**tomllib.loads(settings)), ""
    plan = read_plan(ROOT / "models" / f"{argument}.toml")
    return plan.model, f"As in the plan ``{plan.label}``. *{plan.study.question}*"


class Estimands(_Made):
    """What a model reports, as its method says."""

    def text(self) -> str:
        doc = inspect.getdoc(getattr(bd, self.arguments[0]).estimands) or ""
        found = re.search(r"\nReturns\n-+\n[^\n]+\n(.*?)(?:\n\n[A-Z][a-z]+\n-+\n|\Z)", doc, flags=re.S)
        if found is None:
            raise self.error(f"{self.arguments[0]}.estimands does not say what it returns")
        return with_links(inspect.cleandoc(found[1]))


class Calibration(_Made):
    """A family's rows of the table of calibration; or its designs, where their results are not in the table yet."""

    def text(self) -> str:
        family = self.arguments[0]
        rows = calibration_rows(CALIBRATION.read_text(encoding="utf-8"), family)
        if rows:
            header = ["design", "data sets", "quantities", "outside the 95% band",
                      "coverage of 95% intervals, mean", "lowest", "highest"]  # fmt: skip
            return rst_table(header, [[row[k] for k in (0, 1, 3, 4, 7, 8, 9)] for row in rows])
        designs = [name for name in designs_of_calibration() if is_of(name, family)]
        if not designs:
            raise self.error(f"neither a result nor a design of calibration is of '{family}'")
        return f"Designs of ``make calibrate`` whose results are not in the table yet: {', '.join(designs)}."


class Commands(_Made):
    """Every command with what it does, its arguments and options, as its help says."""

    required_arguments = 0

    def text(self) -> str:
        root = get_command(app)
        parts = []
        for name, command in sorted(root.commands.items()):
            arguments = " ".join(metavar(p) for p in command.params if not option(p))
            said = plain(inspect.cleandoc(command.help or ""))
            parts += [literal([f"bayesdep {name} {arguments}".rstrip()]), "", said, ""]
            parts += [f"- ``{', '.join(p.opts)}``: {plain(p.help)}" for p in command.params if option(p) and p.help]
            parts.append("")
        return "\n".join(parts)


class ModelsTable(_Made):
    """README's table of models, each linked to its page."""

    required_arguments = 0

    def text(self) -> str:
        lines = (ROOT / "README.md").read_text("utf-8").split("| model | data |")[1].split("\n\n")[0].splitlines()
        rows = []
        for line in lines[2:]:
            name, data, reported = (cell.strip() for cell in line.strip("| ").split(" | "))
            public = name.strip("`")
            page = getattr(bd, public).__module__.split(".")[2]  # bayesdep.models.FAMILY.model
            rows.append([f":doc:`{public} </models/{page}>`", data, reported])
        return rst_table(["model", "data", "what it reports"], rows)


class Gallery(_Made):
    """The figures of ``docs/figures/gallery.toml``."""

    required_arguments = 0

    def text(self) -> str:
        parts = []
        for name, entry in tomllib.loads((ROOT / "docs" / "figures" / "gallery.toml").read_text("utf-8")).items():
            parts += [f".. figure:: /figures/{name}.png", f"   :alt: {entry['alt']}", ""]
            parts += [f"   {FIGURES[entry['figure']].caption} Plan ``{entry['plan']}``.", ""]
        return "\n".join(parts)


def plain(text: str) -> str:
    """A text of the command line, in which no character is markup."""
    return re.sub(r"([*`|_\\])", r"\\\1", text)


def metavar(argument: Any) -> str:
    """An argument of a command, as its help names it."""
    return argument.metavar or argument.name.upper()


def option(parameter: Any) -> bool:
    """Whether a parameter of a command begins with dashes."""
    return parameter.param_type_name == "option"


def is_of(design: str, family: str) -> bool:
    """Whether a design of calibration is of a family."""
    return design == family or design.startswith(f"{family},")


def designs_of_calibration() -> list[str]:
    """Return the names of the designs, in their order."""
    text = (ROOT / "benchmarks" / "calibration.py").read_text(encoding="utf-8")
    return re.findall(r'^    "(.+?)": ', text.split("\nDESIGNS")[1].split("\n}")[0], flags=re.M)


def calibration_rows(text: str, family: str) -> list[list[str]]:
    """Return the cells of a family's rows."""
    table = text.split("<!-- DESIGNS -->")[1].split("<!-- END -->")[0]
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in table.splitlines() if "|" in line]
    return [row for row in rows[2:] if is_of(row[0], family)]


def with_links(text: str) -> str:
    """Turn the path of a document of the site, as docstrings have it, into a link."""
    return re.sub(r"\bdocs/([\w/]+)\.md\b", r":doc:`/\1`", text.replace("``docs/", "docs/").replace(".md``", ".md"))


def link_docstring(*event: Any) -> None:
    """Link documents in a docstring of the reference, whose lines come last in the event."""
    lines = event[-1]
    lines[:] = [with_links(line) if "docs/" in line else line for line in lines]


def show_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a sentence as it is in the docstring."""
    translator.body.append(f"<code>{translator.encode(node.astext())}</code>")
    raise nodes.SkipNode


def show_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on lines of its own as it is in the docstring."""
    translator.body.append(f"<pre>{translator.encode(node.astext())}</pre>")
    raise nodes.SkipNode


def setup(sphinx: Sphinx) -> dict[str, Any]:
    """Add the directives, and formulas as plain text."""
    sphinx.add_html_math_renderer("literal", (show_inline, None), (show_block, None))
    sphinx.connect("autodoc-process-docstring", link_docstring)
    sphinx.add_directive("generative", Generative)
    sphinx.add_directive("model-settings", Settings)
    sphinx.add_directive("estimands", Estimands)
    sphinx.add_directive("calibration", Calibration)
    sphinx.add_directive("commands", Commands)
    sphinx.add_directive("gallery", Gallery)
    sphinx.add_directive("models-table", ModelsTable)
    return {"version": "1", "parallel_read_safe": True}
