"""The pages in a real browser: opened as files, in light and dark, on a phone, by keyboard."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.browsing import set_screen

REPORTS = ("report.html", "label_report.html")
PAGES = (*REPORTS, "check.html")


@pytest.fixture
def opened(browser, run: Path):
    """Open a page of the run as a file, in a colour scheme and a width."""

    def open_page(name: str, scheme: str = "light", width: int = 1100):
        set_screen(browser, width, scheme)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get((run / name).as_uri())
        return browser

    return open_page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_errors_or_requests(opened, run: Path, name: str) -> None:
    page = opened(name)
    assert page.find_element("css selector", "h1").text
    assert page.get_log("browser") == []
    messages = [json.loads(each["message"])["message"] for each in page.get_log("performance")]
    asked = {
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
        # Chromium's own start page may still be loading.
        and not each["params"]["documentURL"].startswith("chrome://")
    }
    assert {each for each in asked if not each.startswith("data:")} == {(run / name).as_uri()}
    broken = "return [...document.images].filter(each => !each.naturalWidth).length"
    assert page.execute_script(broken) == 0
    assert page.execute_script("return window.hurt") is None


@pytest.mark.parametrize("name", REPORTS)
def test_a_clicked_cell_shows_its_photos(opened, name: str) -> None:
    page = opened(name)
    for button in page.find_elements("css selector", "[data-cell]"):
        button.click()
        shown = page.find_elements("css selector", "#cell figure img")
        assert len(shown) == int(button.text)
        assert button.get_attribute("aria-pressed") == "true"
        assert page.find_element("css selector", "#cell h3").text == button.get_attribute(
            "aria-label"
        )
    assert page.execute_script("return window.hurt") is None


@pytest.mark.parametrize("name", REPORTS)
def test_cells_work_by_keyboard(opened, name: str) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(name)
    buttons = page.find_elements("css selector", "[data-cell]")
    assert [each.get_attribute("tabindex") for each in buttons].count("0") == 1
    buttons[0].send_keys(Keys.ENTER)
    assert buttons[0].get_attribute("aria-pressed") == "true"
    buttons[0].send_keys(Keys.ARROW_DOWN)
    focused = page.switch_to.active_element
    assert focused.get_attribute("data-cell") != buttons[0].get_attribute("data-cell")
    focused.send_keys(Keys.SPACE)
    assert focused.get_attribute("aria-pressed") == "true"
    assert buttons[0].get_attribute("aria-pressed") == "false"


def _scrolled(page) -> float:
    """Once the page has come to rest."""
    return page.execute_async_script("""
        const done = arguments[0];
        let last = -1;
        const look = () => {
            if (window.scrollY === last) return done(last);
            last = window.scrollY;
            setTimeout(look, 150);
        };
        look();
    """)


@pytest.mark.parametrize("width", [390, 1100])
def test_photos_of_a_pair_open_in_sight_under_their_row(
    opened, pairs_page: Path, width: int
) -> None:
    page = opened(pairs_page.name, width=width)
    buttons = page.find_elements("css selector", "[data-cell]")
    for button in buttons:
        assert min(button.size["width"], button.size["height"]) >= 24
        page.execute_script("arguments[0].scrollIntoView({block: 'end'})", button)
        button.click()
        _scrolled(page)
        panel = page.find_element("css selector", "tr:has([aria-pressed=true]) + tr.opened #cell")
        assert len(panel.find_elements("css selector", "img")) == int(button.text)
        top, bottom, height = page.execute_script(
            "const {top, bottom} = arguments[0].getBoundingClientRect();"
            "return [top, bottom, innerHeight]",
            panel,
        )
        assert 0 <= top < bottom <= height + 1 or bottom - top > height
        assert page.switch_to.active_element == button
    pressed, other = (
        page.execute_script("return getComputedStyle(arguments[0]).backgroundColor", each)
        for each in (buttons[-1], buttons[0])
    )
    assert pressed != other
    buttons[-1].click()
    assert buttons[-1].get_attribute("aria-pressed") == "false"
    assert page.find_elements("css selector", "#cell") == []


def test_photos_of_a_pair_open_by_keyboard(opened, pairs_page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(pairs_page.name)
    first, second = page.find_elements("css selector", "[data-cell]")[:2]
    first.send_keys(Keys.ENTER)
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element == second
    second.send_keys(Keys.SPACE)
    heading = page.find_element("css selector", ".opened h3").text
    assert heading == second.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_casts_a_shadow_at_that_side(opened, scheme: str) -> None:
    from PIL import Image, ImageStat

    page = opened("report.html", scheme, width=390)
    box = page.find_element("css selector", "#variants .box")

    def shades() -> tuple[float, float]:
        """How far the last pixels of both sides are from the ground, in grey levels."""
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
        with Image.open(io.BytesIO(box.screenshot_as_png)) as image:
            grey = image.convert("L")
        width, height = grey.size
        ground = ImageStat.Stat(grey).median[0]
        sides = (grey.crop((at, 0, at + 3, height)) for at in (0, width - 4))
        return tuple(abs(ImageStat.Stat(side).median[0] - ground) for side in sides)

    left, right = shades()
    assert right > left + 5
    page.execute_script("arguments[0].scrollLeft = 10000", box)
    left, right = shades()
    assert left > right + 5


@pytest.mark.parametrize("name", PAGES)
def test_dark_differs_from_light_everywhere(opened, name: str) -> None:
    colours = """
        const of = (selector, key) => getComputedStyle(document.querySelector(selector))[key];
        return [of("body", "backgroundColor"), of("body", "color"),
                of("section", "backgroundColor"), of("svg.chart text", "fill")];
    """
    light = opened(name).execute_script(colours)
    dark = opened(name, scheme="dark").execute_script(colours)
    assert all(one != other for one, other in zip(light, dark, strict=True))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_does_not_scroll_sideways(opened, name: str, width: int) -> None:
    page = opened(name, width=width)
    for button in page.find_elements("css selector", "[data-cell]")[:1]:
        page.execute_script("arguments[0].click()", button)
    wide = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = page.execute_script(wide)
    assert needed <= there
