"""Render the pictures of the README: ``python -m tools.render_screens [DIRECTORY]`` writes kiosk.svg and admin.svg.

The pictures show the fake station of the tests with its frozen clock, so that they change only when the screens do.
``--check`` compares instead of writing and exits 1 when a picture is not current.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from evse.access.roles import Role
from tests._support.fake_service import FakeStation, LocalClient
from tui.admin.app import AdminApp
from tui.app_base import ScreenApp
from tui.driver.profiles import Profile
from tui.kiosk.app import KioskApp
from tui.state.store import Store

SIZE = (100, 28)
FROZEN_NS = 10**12


def still() -> int:
    """The frozen clock."""
    return FROZEN_NS


def kiosk() -> ScreenApp:
    """Both connectors, one charging."""
    return KioskApp(Store(LocalClient(FakeStation(), Role.GUEST), now=still), Profile(), now=still)


def admin() -> ScreenApp:
    """The overview."""
    client = LocalClient(FakeStation(), Role.OPERATOR)
    return AdminApp(Store(client, now=still), Profile(refresh_s=3600), now=still, token_holder=client)


PICTURES: dict[str, tuple[Callable[[], ScreenApp], str, str]] = {
    "kiosk.svg": (kiosk, "own modules", "evsectl kiosk"),
    "admin.svg": (admin, "ALERTS", "evsectl admin"),
}
"""File -> (app, text that is on the finished page, title of the window)."""


async def picture(make: Callable[[], ScreenApp], ready: str, title: str) -> str:
    """Return the SVG of an app once ``ready`` is on its screen. Raises TimeoutError after 20 s."""
    app = make()
    async with app.run_test(size=SIZE) as pilot, asyncio.timeout(20):
        while ready not in "\n".join(strip.text for strip in app.screen._compositor.render_strips()):
            app.tick()  # type: ignore[attr-defined]
            await pilot.pause(0.05)
        return local_font(app.export_screenshot(title=title))


def local_font(svg: str) -> str:
    """Use the reader's monospaced font: a picture in the documentation fetches nothing from elsewhere."""
    return re.sub(r"\s*@font-face\s*{.*?}", "", svg, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")


def main(argv: list[str]) -> int:
    """Write or check the pictures; returns the exit code."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    check = "--check" in argv
    names = [a for a in argv if not a.startswith("-")]
    directory = Path(names[0]) if names else Path(__file__).parent.parent / "docs" / "img"
    stale = []
    for name, (make, ready, title) in PICTURES.items():
        svg = asyncio.run(picture(make, ready, title))
        file = directory / name
        if check:
            if not file.exists() or file.read_text() != svg:
                stale.append(str(file))
        else:
            directory.mkdir(parents=True, exist_ok=True)
            file.write_text(svg)
    if stale:
        print(f"not current: {', '.join(stale)}; run python -m tools.render_screens", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
