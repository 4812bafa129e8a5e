"""The page of a recorded run: one offline file, verdict first, every picture with words and a table beside it.

It asks nothing of the network, reads without any script, and takes names and warnings for text, never for markup.
"""

from __future__ import annotations

from limen.pages.dynamics_view import run_view
from limen.pages.page import whole
from limen.records.dynamics import Dynamics


def render_page(found: Dynamics) -> str:
    """The page of one run, as the text of one HTML file."""
    return whole("dynamics.html.j2", run_view(found))
