"""Makes docs/page.png, the picture in the README, from a real report: `python docs/screenshot.py report.html`.

Uses the Chromium of this machine (LIMEN_CHROMIUM or `chromium` on the path); nothing is downloaded. A
palette of 256 colours keeps the file small; a picture above 200 kB is refused.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1200, 1960
LIMIT = 200_000


def main(report: str, target: str = str(Path(__file__).with_name("page.png"))) -> None:
    """Write the upper part of the report as a picture. Raises SystemExit without a browser or above the size limit."""
    browser = os.environ.get("LIMEN_CHROMIUM") or shutil.which("chromium")
    if browser is None:
        raise SystemExit("no Chromium on the path; set LIMEN_CHROMIUM to one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = running.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(Path(report).resolve().as_uri())
        taken = page.screenshot()
        running.close()
    text = io.BytesIO()
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
        text, "PNG", optimize=True
    )
    if len(text.getvalue()) > LIMIT:
        raise SystemExit(f"{target}: {len(text.getvalue())} bytes, above {LIMIT}")
    Path(target).write_bytes(text.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
