"""What silences a linter, the type checker or any exception has its reason on the same line."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SILENCED = re.compile(r"#\s*(noqa|type: ignore|pragma: no cover)")
WITH_REASON = re.compile(r"# noqa: [A-Z0-9, ]+ +\(.+\)|# type: ignore\[[^\]]+\]  # .+|# pragma: no cover +\(.+\)")


BROAD = re.compile(r"except (Base)?Exception\b|except:|suppress\((Base)?Exception\)")
WARNINGS = re.compile(r"(simplefilter|filterwarnings)\(\"ignore\"")
SKIPPED = re.compile(r"(?<!def )\b(skip|xfail|skipif)\((?!.*(reason=|\".+\"))|mark\.(skip|xfail)\b(?!\()")
IS_TOLD = re.compile(r"  # .+")


def lines_without_reason(text):
    """Lines that silence something and do not say why."""
    lines = text.splitlines()
    silenced = [line.strip() for line in lines if SILENCED.search(line) and not WITH_REASON.search(line)]
    hidden = [line for line in lines if BROAD.search(line) or WARNINGS.search(line)]
    silenced += [line.strip() for line in hidden if not IS_TOLD.search(line)]
    return silenced + [line.strip() for line in lines if SKIPPED.search(line)]


def test_what_silences_a_check_has_a_reason():
    paths = [p for folder in ("bayesdep", "benchmarks", "tests", "tools") for p in (ROOT / folder).rglob("*.py")]
    without = {p.name: lines_without_reason(p.read_text()) for p in paths if p != Path(__file__)}
    assert {name: lines for name, lines in without.items() if lines} == {}


def test_a_missing_reason_is_found():
    assert lines_without_reason("x = 1  # noqa: E501") == ["x = 1  # noqa: E501"]
    assert lines_without_reason("x = 1  # type: ignore") == ["x = 1  # type: ignore"]
    assert lines_without_reason("x = 1  # type: ignore[misc]  # arviz is not typed") == []
    assert lines_without_reason("x = 1  # noqa: E501  (a table)") == []
    assert lines_without_reason("    except Exception as problem:") == ["except Exception as problem:"]
    assert lines_without_reason("    except Exception:  # raised again below") == []
    assert lines_without_reason('    warnings.simplefilter("ignore")') == ['warnings.simplefilter("ignore")']
    assert lines_without_reason('    warnings.simplefilter("ignore")  # of zero, refused by its row') == []
    assert lines_without_reason("@pytest.mark.skip") == ["@pytest.mark.skip"]
    assert lines_without_reason('@pytest.mark.skipif(os.name == "nt", reason="links as POSIX knows them")') == []
    assert lines_without_reason("        pytest.skip()") == ["pytest.skip()"]
