"""Hooks of mkdocs: add the pages that live outside docs/, and leave absent pages out of the nav."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
HOME_OF = {
    "start.md": "README.md",
    "client-browser.md": "clients/js/README.md",
    "client-python.md": "clients/python/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "acceptance.md": "tests/acceptance.md",
}
PAGE_OF = {home: page for page, home in HOME_OF.items()}
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of `nav` what is not there, and put the files in the place of a `*`."""
    config.nav = _present(config.nav)
    return config


def _present(nav: list) -> list:
    found = []
    for (title, value), *_ in (entry.items() for entry in nav):
        if isinstance(value, list):
            found.append({title: _present(value)})
        elif "*" in value:
            paths = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob(value))
            found += [{title: paths}] if paths else []
        elif value in HOME_OF or (DOCS / value).exists():
            found.append({title: value})
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere."""
    for page, home in HOME_OF.items():
        files.append(File.generated(config, page, abs_src_path=str(DOCS.parent / home)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are written for the repository; make them those of the site."""
    here = page.file.src_uri
    home = posixpath.dirname(HOME_OF.get(here, f"docs/{here}"))

    def relink(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(home, link[1]))
        target = PAGE_OF.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{link[2] or ''})"

    return LINK.sub(relink, markdown)
