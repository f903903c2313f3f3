"""Check the documentation site: `python tools/check_site.py build/site`.

Every internal link leads somewhere, nothing is requested from the network when a page is opened, and every figure has a
text that says what it shows. Exit code 1 with one line for each fault.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser loads by itself when it opens a page: element -> attributes
LOADED = {
    **{"script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset")},
    **{"video": ("src", "poster"), "audio": ("src",), "object": ("data",), "embed": ("src",), "input": ("src",)},
}
# relations of <link> that are only stated, not loaded
STATED = {"canonical", "search", "next", "prev", "index", "author", "copyright", "alternate", "license", "up", "top"}


class Page(HTMLParser):
    """What a page has: names of places, links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[tuple[str, str | None]] = []
        self.styles: list[str] = []
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("id", "name"):
            self.ids.add(given.get(name) or "")
        if tag == "a" and given.get("href") is not None:
            self.links.append(given["href"] or "")
        if tag == "link" and not set((given.get("rel") or "").split()) <= STATED:
            self.loads.append(given.get("href") or "")
        for name in LOADED.get(tag, ()):
            if given.get(name):
                self.loads.append(given[name] or "")
        if tag == "img":
            self.images.append((given.get("src") or "", given.get("alt")))
        self.styles.append(given.get("style") or "")
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)
            self._in_style = False


def is_remote(address: str) -> bool:
    """Whether an address is on the network."""
    return bool(urlsplit(address).netloc)


def remote_in_css(text: str) -> list[str]:
    """Return the addresses on the network that a style sheet loads."""
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = re.findall(r"""(?:url\(\s*|@import\s+)['"]?([^'")\s;]+)""", plain)
    return [address for address in found if is_remote(address)]


def faults(site: Path) -> Iterator[str]:
    """Say what is wrong with a site, one line at a time.

    Parameters
    ----------
    site
        The folder of its pages.

    Yields
    ------
    str
        The page and the fault.
    """
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        if path.relative_to(site).parts[0] != "_static"  # templates of the theme
    }
    if not pages:
        yield f"{site}: there is no page"
    for path, page in pages.items():
        where = path.relative_to(site.resolve()).as_posix()
        for address in [*page.loads, *(found for style in page.styles for found in remote_in_css(style))]:
            if is_remote(address):
                yield f"{where}: loads {address} from the network"
            elif not address.startswith("data:") and not _target(path, address).exists():
                yield f"{where}: loads {address}, which is not there"
        for link in page.links:
            yield from (f"{where}: {fault}" for fault in _link(path, link, pages))
        for source, text in page.images:
            if not (text or "").strip() or re.fullmatch(r"\S+\.(png|svg|jpg|jpeg|gif)", text or ""):
                yield f"{where}: the figure {source[:80]} has no text that says what it shows"
    for path in sorted(site.rglob("*.css")):
        for address in remote_in_css(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site).as_posix()}: loads {address} from the network"


def _target(page: Path, address: str) -> Path:
    """The file that an address on a page is of."""
    path = unquote(urlsplit(address).path)
    return (page.parent / path).resolve() if path else page


def _link(page: Path, link: str, pages: dict[Path, Page]) -> Iterator[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return
    target = _target(page, link)
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        yield f"the link {link} leads nowhere"
    elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        yield f"the link {link} leads to a page without that place"


def main() -> int:
    """Print the faults of the site named on the command line."""
    found = list(faults(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
