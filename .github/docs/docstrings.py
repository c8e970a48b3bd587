"""Docstrings as the site shows them: examples are fenced, and Sphinx roles lose their prefix."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^([ \t]*)>>> .*(?:\n\1(?!\s*$).+)*", re.MULTILINE)
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")


class Docstrings(griffe.Extension):
    """Rewrite each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence the examples of one module, class or function."""
        if obj.docstring is not None:
            text = EXAMPLE.sub(lambda found: f"{found[1]}```python\n{found[0]}\n{found[1]}```", obj.docstring.value)
            obj.docstring.value = ROLE.sub(r"``\1``", text)
