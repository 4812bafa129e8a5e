"""Tables of a run put into a page between the marks of their studies; all other text of the page stays.

<!-- table: midpoint -->
… replaced …
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Raises ValueError for a table that the page has no place for, or more than one."""
    for name, text in tables.items():
        place = re.compile(rf"<!-- table: {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
        found = place.findall(page)
        if len(found) != 1:
            raise ValueError(
                f"expected one place '<!-- table: {name} --> … <!-- end -->' in the page, got {len(found)}"
            )
        page = page.replace(found[0], f"<!-- table: {name} -->\n{text}\n<!-- end -->")
    return page
