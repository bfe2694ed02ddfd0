"""The page of a segmenter in a real browser: the slider, phones, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pplcnet.tasks.segmentation.report import report
from tests.browsing import set_screen
from tests.tasks.segmentation.masks import dataset_of
from tests.tasks.segmentation.reported import TRUTH, context_of, page_of


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segmenter")
    page = page_of(report(context_of(dataset_of(folder, TRUTH))))
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_fits_and_its_pictures_are_there(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    set_screen(browser, width, scheme)
    browser.get_log("browser")
    browser.get(page_file.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    broken = "return [...document.images].filter(each => !each.naturalWidth).length"
    assert browser.execute_script(broken) == 0
    views = browser.find_elements("css selector", ".layers:first-of-type .view")
    assert len({each.rect["y"] for each in views[:4]}) == (2 if width < 500 else 1)
    photo = browser.execute_script(
        "return getComputedStyle(arguments[0]).backgroundImage", views[0]
    )
    assert photo.startswith('url("data:image/jpeg;base64,')


def test_the_slider_sets_the_opacity_of_all_colours(browser: Any, page_file: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    set_screen(browser, 1100, "light")
    browser.get(page_file.as_uri())
    slider = browser.find_element("css selector", "input[type=range]")
    opacities = (
        "return [...document.querySelectorAll('.view img')].map(e => getComputedStyle(e).opacity)"
    )
    assert {*browser.execute_script(opacities)} == {"0.6"}
    slider.send_keys(Keys.HOME)
    assert {*browser.execute_script(opacities)} == {"0"}
    slider.send_keys(Keys.END)
    assert {*browser.execute_script(opacities)} == {"1"}
