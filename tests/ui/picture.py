"""Write the picture of the interface that the documentation shows: ``make picture``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from tests.ui.pressing import drawn
from tests.ui.still import TOLD, app_in

PLACE: Final = Path(__file__).parents[2] / "docs" / "ui.svg"
_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


async def picture() -> str:
    """Return a goal that is being worked on, as SVG; it loads nothing from anywhere."""
    app = app_in("running", TOLD)
    async with app.run_test(size=(100, 32)) as pilot:
        await drawn(pilot, live=True)
        return _FONTS.sub("", app.export_screenshot())


if __name__ == "__main__":
    PLACE.write_text(asyncio.run(picture()), "utf-8")
