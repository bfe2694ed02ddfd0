"""Take the picture of a report that the README shows: the top of a run's page, in Chromium.

    pplcnet train PHOTOS --weights imagenet --model pplcnet_x0_35 --image-size 160 --out RUN
    python docs/make_screenshot.py RUN/report.html docs/report.png

Needs Debian's chromium with chromium-driver, and selenium (requirements/dev.txt).
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1000, 1280
# Leaves the header and two sections, and opens the mistakes of the most confused pair of classes.
ARRANGE = """
for (const section of document.querySelectorAll("section"))
  if (!["confusion", "mistakes"].includes(section.id)) section.style.display = "none";
const cells = [...document.querySelectorAll("#confusion [data-cell]")];
const mistakes = cells.filter(each => {
  const [label, answer] = each.getAttribute("data-cell").match(/\\d+/g);
  return label !== answer;
});
mistakes.sort((one, other) => other.textContent - one.textContent)[0]?.click();
document.activeElement.blur();
window.scrollTo(0, 0);
"""


def main() -> None:
    """Take the picture and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    picture = Image.open(io.BytesIO(take(arguments.report))).convert("RGB")
    # A page needs no more than 256 colours, which take a third of the bytes.
    picture.quantize(256).save(arguments.out, optimize=True)


def take(report: Path) -> bytes:
    """The top of the arranged page as a PNG file."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as profile:
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        for flag in (*flags, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get(report.resolve().as_uri())
            browser.execute_script(ARRANGE)
            return browser.get_screenshot_as_png()
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
