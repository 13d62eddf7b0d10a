"""The documentation as a site: it is built strictly, and each link of each of its pages leads to something."""

import shlex
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

PROJECT = Path(__file__).parents[1]
SITE = PROJECT / "build" / "site"


class Page(HTMLParser):
    """The ids and the links of a page of HTML."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.append(value)
                if tag != "a":
                    self.loaded.append(value)


def dead_links(pages: dict[Path, Page]) -> Iterator[str]:
    """The links within the site that lead nowhere, each with its page."""
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":  # its links hang on where the site will be
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            missing = target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].ids
            if not target.is_file() or missing:
                yield f"{path.relative_to(SITE)}: {link}"


@pytest.mark.slow
def test_the_site_is_built_and_no_link_of_it_is_dead() -> None:
    # without `make setup`, which may change packages that other tests use
    shown = _run("make", "--dry-run", "--no-print-directory", "--old-file=setup", "site").stdout
    (build,) = map(shlex.split, shown.splitlines())
    tool = _run(*build[: build.index("build")], "--version")
    if tool.returncode:
        pytest.skip(f"the group docs can't be had from the index: {tool.stderr.strip()[:200]}")
    built = _run(*build)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path: Page(path) for path in SITE.rglob("*.html")}
    assert len(pages) > 100  # every page of docs/, decisions and reasons among them
    assert list(dead_links(pages)) == []
    hosts = {urlsplit(link).netloc for page in pages.values() for link in page.loaded}
    assert hosts <= {""}  # readers' browsers load nothing from elsewhere


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
