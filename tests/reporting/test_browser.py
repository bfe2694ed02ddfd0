"""The pages in a real browser: opened as files, in light and dark, on a phone, by keyboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REPORTS = ("report.html", "label_report.html")
PAGES = (*REPORTS, "check.html")


@pytest.fixture
def opened(browser, run: Path):
    """Open a page of the run as a file, in a colour scheme and a width."""

    def open_page(name: str, scheme: str = "light", width: int = 1100):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
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
