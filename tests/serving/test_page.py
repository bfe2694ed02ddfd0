"""The page in a real browser: a photo by file, drop, paste and camera; models, maps and errors."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli import serve
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.runtime.classifier import Classifier
from pplcnet.tasks import find
from tests.browsing import opened_browser, set_screen
from tests.runtime.networks import detector_of
from tests.serving.conftest import photo
from tests.serving.servers import Server, serving

KEY = "a-key-for-the-page"
PATIENCE = 60
EVIL = "<img src=x onerror='window.hurt=1'>"
THRESHOLDS = {EVIL: 0.0, "dog": 1.0, "eel": 1.0}
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
FILE = """
const bytes = Uint8Array.from(atob(arguments[0]), each => each.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], arguments[1], {type: "image/jpeg"}));
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo, one that is larger than a request may be, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "small.jpg").write_bytes(photo(1, size=(300, 200)))
    (folder / "large.bmp").write_bytes(photo(2, "BMP", (900, 700)))
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, a model of several labels, and a model in two versions."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "keys").write_text(KEY)
    opened = Bundle.open(bundle)
    files = {name: opened.read(name) for name in opened.manifest.files}
    labels = replace(
        opened.manifest,
        task="multilabel",
        classes=tuple(THRESHOLDS),
        decoding={"thresholds": THRESHOLDS},
    )
    write_bundle(folder / "labels.bundle", labels, files)
    for version in ("1", "2"):
        (folder / "models" / "animals").mkdir(parents=True, exist_ok=True)
        (folder / "models" / "animals" / version).symlink_to(bundle)
    with serving(
        folder / "models", folder / "labels.bundle", "--keep-versions", 2, "--workers", 2,
        "--api-key-file", folder / "keys", "--max-request-megabytes", 1,
    ) as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened_browser(tmp_path_factory.mktemp("profile"), *CAMERA) as opened:
        yield opened


class Page:
    """The page, and what a user does with it."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        found = self.browser.find_elements("css selector", selector)
        return [each.text for each in found]

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        """Until a condition holds."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, PATIENCE, 0.05).until(
            lambda _: self.run(f"return {script}"), script
        )

    def wait_for_answer(self) -> None:
        self.wait("!document.querySelector('#found').hidden && !document.querySelector('.busy')")

    def choose(self, path: Path) -> None:
        self.find("#file").send_keys(str(path))

    def choose_model(self, name: str) -> None:
        self.find(f"#model option[value='{name}']").click()


@pytest.fixture
def opened(browser: Any, served: Server) -> Callable[..., Page]:
    """Open the page with its key given."""

    def open_page(width: int = 1100, scheme: str = "light") -> Page:
        set_screen(browser, width, scheme)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(served.url)
        page = Page(browser)
        page.wait("!document.querySelector('#key-form').hidden")
        page.find("#key").send_keys(KEY, "\n")
        page.wait("document.querySelector('#facts').textContent")
        return page

    return open_page


def test_a_photo_is_answered_and_nothing_is_loaded_from_elsewhere(
    opened: Callable[..., Page], served: Server, photos: Path, classifier: Classifier
) -> None:
    page = opened()
    page.browser.get_log("browser")  # the first question had no key
    assert page.texts("#classes li") == list(classifier.classes)
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    wanted = classifier.predict((photos / "small.jpg").read_bytes()).top(5)
    assert page.texts(".row .label") == [each.label for each in wanted]
    assert page.texts(".row .value") == [f"{100 * each.probability:.1f} %" for each in wanted]
    assert page.texts("#times dt") == ["Queue", "Decoder", "Network", "Total"]
    assert page.run("return document.querySelector('#photo').naturalWidth") == 300
    page.find("summary").click()
    assert json.loads(page.find("#record").text)["predictions"][0]["label"] == wanted[0].label
    assert f"{served.url}/v1/classify/animals" in page.find("#command").text
    assert page.browser.get_log("browser") == []
    messages = [
        json.loads(each["message"])["message"] for each in page.browser.get_log("performance")
    ]
    asked = [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
        and not each["params"]["documentURL"].startswith("chrome://")
    ]
    assert len(asked) > 3
    assert all(each.startswith((f"{served.url}/", "data:", "blob:")) for each in asked)


def test_a_photo_may_be_dropped_or_pasted(opened: Callable[..., Page]) -> None:
    page = opened()
    for name, event in (
        ("a.jpg", "new DragEvent('drop', {dataTransfer: transfer, cancelable: true})"),
        ("b.jpg", "new ClipboardEvent('paste', {clipboardData: transfer})"),
    ):
        page.run(FILE + f"dispatchEvent({event})", base64.b64encode(photo(2)).decode(), name)
        page.wait(f"document.querySelector('#name').textContent === '{name}'")
        page.wait_for_answer()


def test_several_labels_have_thresholds(opened: Callable[..., Page], photos: Path) -> None:
    page = opened()
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    page.choose_model("labels")
    page.wait("document.querySelector('.tick')")
    assert set(page.texts(".row .label")) == {f"{EVIL} ✓", "dog", "eel"}
    assert page.find(".note").text.startswith("1 of 3 labels reach their threshold")
    assert page.run("return window.hurt") is None


def test_a_photo_unlike_the_training_is_called_that(
    opened: Callable[..., Page], photos: Path
) -> None:
    page = opened()
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    assert not page.find("#strange").is_displayed()
    page.run("""
        const ask = window.fetch;
        window.fetch = async (path, ...rest) => {
            const response = await ask(path, ...rest);
            if (!path.includes("classify")) return response;
            const answer = {...(await response.json()), typicality: 0.01, is_strange: true};
            return new Response(JSON.stringify(answer));
        };
    """)
    page.choose(photos / "small.jpg")
    page.wait("!document.querySelector('#strange').hidden")
    assert "unlike anything" in page.find("#strange").text
    assert "unlike anything" in page.run("return document.querySelector('#status').textContent")


def test_boxes_are_drawn_on_the_photo_in_its_own_pixels(
    browser: Any, photos: Path, tmp_path: Path
) -> None:
    outputs = find("detection").outputs(("cat", "dog"), (64, 96), "picodet_xs")
    boxes, scores = (np.zeros(shape, np.float32) for shape in outputs.values())
    boxes[[5, 60]] = [10, 5, 50, 40], [48, 16, 90, 60]
    scores[[5, 60], [0, 1]] = 0.9, 0.6
    manifest = Manifest(
        ("cat", "dog"),
        Preprocessing((64, 96), "stretch"),
        {"name": "picodet_xs", "options": {}},
        task="detection",
        outputs=outputs,
        variants={"onnx": {"file": "model.onnx"}},
    )
    content = detector_of(boxes, scores, (64, 96)).SerializeToString()
    place = write_bundle(tmp_path / "finder.bundle", manifest, {"model.onnx": content}).path
    with serving(place, "--workers", 1) as running:
        set_screen(browser, 1100, "light")
        browser.get(running.url)
        page = Page(browser)
        page.wait("document.querySelector('#facts').textContent")
        page.choose(photos / "small.jpg")
        page.wait_for_answer()
        page.wait("!document.querySelector('#boxes').hasAttribute('hidden')")
        assert page.run("return document.querySelector('#boxes').getAttribute('viewBox')") == (
            "0 0 300 200"
        )
        assert page.texts("#view .label") == ["cat", "dog"]
        drawn = page.run(
            "return [...document.querySelectorAll('#boxes rect')].map(each =>"
            " ['x', 'y', 'width', 'height'].map(name => Number(each.getAttribute(name))))"
        )
    left_top, right_bottom = boxes[[5, 60], :2], boxes[[5, 60], 2:]
    in_photo = 300 / 96, 200 / 64
    sides = np.concatenate([left_top * in_photo, (right_bottom - left_top) * in_photo], axis=1)
    np.testing.assert_allclose(drawn, sides, atol=0.1)


def test_a_version_can_be_chosen(opened: Callable[..., Page], photos: Path) -> None:
    page = opened()
    assert page.texts("#version option") == ["2", "1"]
    page.find("#version option:last-child").click()
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    page.find("summary").click()
    assert json.loads(page.find("#record").text)["version"] == "1"


def test_a_map_is_shown_by_keyboard(opened: Callable[..., Page], photos: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened()
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    last = page.texts(".row .label")[-1]
    page.run("[...document.querySelectorAll('.row')].at(-1).focus()")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait("!document.querySelector('#map').hidden")
    assert last in page.find("#map").get_attribute("aria-label")
    pressed = page.find(".row[aria-pressed=true]")
    assert pressed.find_element("css selector", ".label").text == last
    assert page.browser.switch_to.active_element == pressed
    coloured = """
        const map = document.querySelector('#map');
        const {data} = map.getContext('2d').getImageData(0, 0, map.width, map.height);
        return new Set(data.filter((_, at) => at % 4 == 3)).size
    """
    assert page.run(coloured) > 20
    page.find("#explain").click()
    assert not page.find("#map").is_displayed()


def test_errors_are_one_sentence_and_can_be_left(opened: Callable[..., Page], photos: Path) -> None:
    page = opened()
    page.choose(photos / "text.jpg")
    page.wait("!document.querySelector('#error').hidden")
    assert page.find("#error").text.startswith("The photo: not an image")
    assert page.find("#unseen").is_displayed()
    page.choose(photos / "large.bmp")
    page.wait("!document.querySelector('#shrink').hidden")
    assert "may have at most 1 MB" in page.find("#error").text
    page.find("#shrink").click()
    page.wait_for_answer()
    assert not page.find("#error").is_displayed()


def test_the_camera_is_answered_until_a_photo_is_taken(opened: Callable[..., Page]) -> None:
    page = opened()
    page.find("#camera").click()
    page.wait_for_answer()
    assert page.find("#video").is_displayed()
    page.find("#take").click()
    page.wait("document.querySelector('#name').textContent === 'camera.jpg'")
    page.wait_for_answer()
    assert page.find("#photo").is_displayed()
    assert not page.find("#video").is_displayed()


def test_a_wrong_key_is_said_to_be_wrong(browser: Any, served: Server) -> None:
    browser.get(served.url)
    page = Page(browser)
    page.wait("!document.querySelector('#key-form').hidden")
    assert not page.find("#error").is_displayed()
    page.find("#key").send_keys("another-key-another", "\n")
    page.wait("!document.querySelector('#error').hidden")
    assert page.find("#error").text == "The server does not accept this key."


CONTRASTS = """
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const ground = each => {
  for (let at = each; at; at = at.parentElement) {
    const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
    if (a) return [r, g, b];
  }
};
const light = ([r, g, b]) => [r, g, b].map(each => {
  each /= 255;
  return each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
}).reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
const texts = [...document.querySelectorAll("main *")].filter(each => each.checkVisibility()
  && !each.disabled && [...each.childNodes].some(at => at.nodeType === 3 && at.data.trim()));
return texts.map(each => {
  const pair = [light(parse(getComputedStyle(each).color)), light(ground(each))];
  return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), each.textContent];
});
"""
SMALL = """
return [...document.querySelectorAll("button, select")].filter(each => each.checkVisibility()
  && Math.min(each.offsetWidth, each.offsetHeight) < 24).map(each => each.id);
"""
NAMELESS = """
return [...document.querySelectorAll("button, select, input, img, video, canvas")].filter(each =>
  each.checkVisibility() && !each.textContent.trim() && !each.ariaLabel && !each.alt
  && !each.labels?.length).map(each => each.id);
"""


def test_everything_fits_can_be_read_and_has_a_name(
    opened: Callable[..., Page], photos: Path
) -> None:
    page = opened()
    page.choose(photos / "small.jpg")
    page.wait_for_answer()
    page.find("#explain").click()
    page.wait("!document.querySelector('#map').hidden")
    page.find("summary").click()
    for width, scheme in ((390, "light"), (390, "dark"), (1100, "light"), (1100, "dark")):
        set_screen(page.browser, width, scheme)
        wide = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        needed, there = page.run(wide)
        assert needed <= there
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 20
        assert [each for each in contrasts if each[0] < 4.5] == []
        assert page.run(NAMELESS) == []
        assert page.run(SMALL) == []


def test_the_page_allows_only_what_is_in_it(served: Server) -> None:
    answer = served.get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert served.get("/v2").status == 401


@pytest.mark.parametrize(
    ("given", "has_page"),
    [
        ((), True),
        (("--no-page",), False),
        (("--host", "0.0.0.0"), False),
        (("--host", "0.0.0.0", "--page"), True),
    ],
)
def test_the_page_is_there_where_only_this_machine_can_connect(
    given: tuple[str, ...], has_page: bool
) -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    assert serve.settings_of(parser.parse_args(["some.bundle", *given])).has_page is has_page
