"""The guides are true: links and named places exist, and every command that is not marked as long runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = sorted(
    path.relative_to(ROOT)
    for path in ROOT.rglob("*.md")
    if not {"node_modules", "ISSUE_TEMPLATE", ".pytest_cache", ".venv", "site"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"(?:\]\(|src=\")([^)\"#\s]+)")
ANSWER = re.compile(r"`([\w./]+\.py)`: `(\w+)`")


def text_of(guide):
    return (ROOT / guide).read_text()


@pytest.mark.parametrize("guide", GUIDES, ids=str)
def test_what_a_guide_links_to_exists(guide):
    links = [link for link in LINK.findall(text_of(guide)) if "://" not in link]
    assert [link for link in links if not (ROOT / guide.parent / link).exists()] == []


def test_the_way_in_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


def test_each_question_of_a_stranger_is_answered_in_two_files_at_most():
    section = text_of(".github/CONTRIBUTING.md").split("## Ten questions")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if "?" in line]
    assert len(rows) == 10
    for row in rows:
        answers = ANSWER.findall(row)
        assert 1 <= len(answers) <= 2, row
        for file, name in answers:
            assert re.search(rf"^(class|def) {name}\b|^{name}\b", (ROOT / file).read_text(), re.MULTILINE), row
