"""Open every built page in Chromium and say what a reader would not see: python docs/scripts/screenshots.py HTML OUT [names].

Each page is drawn at 1280 and at 400 pixels, as a picture in OUT, and looked through for what is wider than the window and
cannot be scrolled, for pictures that did not load, and for links that lead nowhere in the folder HTML. Needs the command
`chromium`; nothing is fetched. Ends with 1 where something was found.
"""

import argparse
import asyncio
import base64
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from tornado.websocket import WebSocketClientConnection, websocket_connect

WIDTHS = (1280, 400)
TALLEST = 12_000
"""Pixels of a picture; what is below is left out of it, but looked through."""
STILL = "document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')"
"""So that side bars do not slide in while a picture is taken."""
WIDE = """(() => {
  const found = [], width = document.documentElement.clientWidth;
  const scrolls = e => { for (let p = e.parentElement; p; p = p.parentElement) {
    const o = getComputedStyle(p).overflowX; if (o === 'auto' || o === 'scroll' || o === 'hidden') return true; } return false; };
  for (const e of document.querySelectorAll('article *')) {
    const box = e.getBoundingClientRect();
    if (box.width > 0 && box.right > width + 1 && !scrolls(e)) found.push('wide: ' + e.tagName + ' ' + Math.round(box.right) + ' ' + (e.textContent || '').trim().slice(0, 60));
    if (e.tagName === 'IMG' && e.complete && !e.naturalWidth) found.push('no picture: ' + e.getAttribute('src')); }
  if (document.documentElement.scrollWidth > width + 1) found.push('the page scrolls sideways: ' + document.documentElement.scrollWidth);
  return JSON.stringify([found.slice(0, 8), document.documentElement.scrollHeight]); })()"""


class Tab:
    """A tab of a running Chromium, spoken to by its remote debugging protocol."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection, self.number = connection, 0

    async def ask(self, method: str, **parameters: object) -> dict:
        """Return the result of a command; events that come before it are passed over."""
        self.number += 1
        await self.connection.write_message(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (answer := json.loads(await self.connection.read_message() or "{}")).get("id") != self.number:
            if not answer:
                raise RuntimeError("Chromium ended")
        return answer.get("result", {})

    async def open(self, page: Path, width: int) -> tuple[list[str], int]:
        """Open a page in a window of that width; return what is wrong with it, and its height."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        await self.ask("Page.navigate", url=page.as_uri())
        for _ in range(300):
            state = await self.ask("Runtime.evaluate", expression="document.readyState + ' ' + location.href")
            if state["result"]["value"] == f"complete {page.as_uri()}":
                break
            await asyncio.sleep(0.1)
        await self.ask("Runtime.evaluate", expression=STILL)
        await asyncio.sleep(0.3)
        found, height = json.loads((await self.ask("Runtime.evaluate", expression=WIDE))["result"]["value"])
        return found, height

    async def draw(self, file: Path, width: int, height: int) -> None:
        """Write a picture of the page."""
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, TALLEST), "scale": 1}
        taken = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(taken["data"]))


def dead_links(page: Path, root: Path) -> list[str]:
    """Return the links of a page to files or headings of the folder that are not there."""
    found = []
    for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link) or link in {"#", ""}:
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            found.append(f"dead link: {link}")
        elif heading and target.suffix == ".html" and not _has(target, heading):
            found.append(f"dead heading: {link}")
    return sorted(set(found))


def _has(page: Path, heading: str) -> bool:
    return f'id="{heading}"' in page.read_text(encoding="utf-8")


async def look(pages: list[Path], root: Path, out: Path, port: int) -> int:
    """Go through the pages; return the number of things found."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as listed:
        tabs = [tab for tab in json.load(listed) if tab["type"] == "page"]
    tab = Tab(await websocket_connect(tabs[0]["webSocketDebuggerUrl"], max_message_size=1 << 28))
    total = 0
    for page in pages:
        name = page.relative_to(root).with_suffix("").as_posix().replace("/", "_")
        lines = dead_links(page, root)
        for width in WIDTHS:
            found, height = await tab.open(page, width)
            await tab.draw(out / f"{name}_{width}.png", width, height)
            lines += [f"{width}: {line}" for line in found]
        total += len(lines)
        print(name, *(lines or ["fine"]), sep="\n  ", flush=True)
    return total


def main() -> int:
    """Start Chromium, look, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("html", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", help="pages without .html, such as tutorials/ccle; all where none is named")
    arguments = parser.parse_args()
    root = arguments.html.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    passed_over = {"genindex.html", "search.html", "py-modindex.html"}
    pages = [root / f"{name}.html" for name in arguments.names] or sorted(
        page
        for page in root.rglob("*.html")
        if "_" not in page.relative_to(root).parts[0][:1] and page.name not in passed_over
    )
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ]
        chromium = subprocess.Popen(["chromium", *options, "about:blank"], stderr=subprocess.PIPE, text=True)
        try:
            assert chromium.stderr is not None
            port = next(
                int(m[1]) for line in chromium.stderr if (m := re.search(r"listening on ws://[\d.]+:(\d+)/", line))
            )
            return min(1, asyncio.run(look(pages, root, arguments.out, port)))
        finally:
            chromium.terminate()
            chromium.wait()


if __name__ == "__main__":
    sys.exit(main())
