"""The frame of every page: head, style and script, complete in one file that asks for nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import Final

from hardedge.pages.markup import Markup, tag

SCRIPTS: Final = ("confusions.js", "gallery.js", "script.js")


def page(title: str, *body: str) -> str:
    """A whole HTML document around its body.

    Its policy lets nothing run but the page's own script, and nothing be asked of any server, whatever the data says.
    """
    document = tag("html", _head(title), tag("body", *body, tag("script", Markup(script()))), lang="en")
    return f"<!doctype html>\n{document}\n"


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style())),
    )


def policy() -> str:
    """The content security policy: images and styles inside the page, and one script by its digest."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


@functools.cache
def style() -> str:
    """The style sheet of every page."""
    return resources.files("hardedge.pages").joinpath("style.css").read_text(encoding="utf-8")


@functools.cache
def script() -> str:
    """The script of every page: the parts one after another, what says that all is ready last."""
    return "".join(resources.files("hardedge.pages").joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
