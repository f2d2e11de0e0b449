"""Links of the documentation lead somewhere, files it names exist, the language page can be read."""

import re
from pathlib import Path

import pytest

from glamm.grammar import parse

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
LAYOUT = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_the_layout_names_files_that_exist():
    named = set(re.findall(r"`([\w./-]*\w\.(?:py|pyx|h|lark|md|toml))`", LAYOUT))
    assert len(named) > 50
    for name in named:
        assert list(ROOT.rglob(name)), name


def statements():
    """Return indented blocks, and what tables of statements have in their first column."""
    blocks = re.findall(r"(?:^    .*\n)+", LANGUAGE, re.MULTILINE)
    for table in re.findall(r"^\| statement \|.*\n(?:\|.*\n)+", LANGUAGE, re.MULTILINE):
        for row in table.splitlines()[2:]:
            first = re.split(r"(?<!\\)\|", row)[1].replace(r"\|", "|")
            blocks += re.findall(r"`([^`]+)`", first)
    return blocks


def test_the_language_page_has_statements_of_every_kind():
    kinds = {type(s).__name__ for text in statements() for s in parse(text).statements}
    assert kinds >= {"Regression", "Measurement", "Covariance"}


@pytest.mark.parametrize("text", statements())
def test_statements_of_the_language_page_are_read(text):
    assert parse(text).statements
