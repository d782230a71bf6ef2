"""README and docs: links lead somewhere, and each page is linked."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page):
    links = re.findall(r'\]\((?!https?:)([^)#]+)', page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_readme_is_short_and_leads_to_each_page():
    text = PAGES[0].read_text()
    assert len(text.splitlines()) <= 130
    for page in PAGES[1:]:
        assert f'(docs/{page.name})' in text


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_tools_and_configs_that_are_named_exist(page):
    text = page.read_text()
    for tool in re.findall(r'tools/(\w+)\.py', text):
        assert (ROOT / f'tools/{tool}.py').exists(), tool
    for config in re.findall(r'configs/fbnetv3/([\w.-]+)\.py', text):
        assert (ROOT / f'configs/fbnetv3/{config}.py').exists(), config
