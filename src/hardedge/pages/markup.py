"""HTML built so that nothing from the data reaches the page unescaped: plain text is escaped, Markup is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Final

from hardedge.contracts import ClassInfo
from hardedge.names import visible

VOID: Final = frozenset({"img", "input", "link", "meta"})
TONES: Final = {
    "pass": "good",
    "identical": "good",
    "equivalent": "good",
    "implied": "good",
    "fail": "bad",
    "different": "bad",
    "inconclusive": "open",
    "not run here": "none",
}
SIGNS: Final = {"good": "✓", "bad": "✕", "open": "?", "none": "–"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _text(text: str) -> str:
    return escape(visible(text))


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Markup:
    """An element; `class_` gives class, `aria_label` aria-label; None leaves a child or an attribute out."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    head = "".join(f' {key}="{_text(value)}"' for key, value in pairs if value is not None)
    if name in VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{join_markup(children)}</{name}>")


def join_markup(children: Iterable[str | None], between: str = "") -> Markup:
    """Children one after another, plain text escaped."""
    parts = (child if isinstance(child, Markup) else _text(child) for child in children if child is not None)
    return Markup(_text(between).join(parts))


class Section(Markup):
    """A part of the page that knows its heading and what is under it."""

    __slots__ = ("heading", "inner")
    heading: str
    inner: Markup


def section(title: str, *children: str | None) -> Section:
    """A part of the page under its heading, reachable by #anchor."""
    made = Section(tag("section", tag("h2", title), *children, id=anchor(title)))
    made.heading, made.inner = title, join_markup(children)
    return made


def fold_section(opened: Section, status: str | None = None) -> Section:
    """The same part folded under its heading: a browser opens it for a link to its anchor, and the script for paper."""
    mark = badge(status) if status else None
    head = tag("summary", tag("h2", opened.heading), mark)
    made = Section(tag("details", head, tag("div", opened.inner, id=anchor(opened.heading)), class_="fold"))
    made.heading, made.inner = opened.heading, opened.inner
    return made


def anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def as_sentence(text: str) -> str:
    """A detail as a sentence of its own; a first word that is an identifier stays as it is."""
    first = text.split(" ", 1)[0]
    start = text[:1].upper() + text[1:] if first.rstrip(",").isalpha() else text
    return start if not text or text.endswith((".", "…")) else f"{start}."


def note_line(text: str) -> Markup:
    return tag("p", text, class_="note")


def badge(status: str, tone: str | None = None) -> Markup:
    """A status by word, sign and colour; `tone` where a status means something else than usual."""
    tone = tone or TONES[status]
    sign = tag("span", SIGNS[tone], aria_hidden="true")
    return tag("span", sign, " ", status, class_=f"badge {tone}")


def chip(info: ClassInfo) -> Markup:
    """A square in the class colour."""
    return tag("span", class_="chip", style="background:#{:02x}{:02x}{:02x}".format(*info.color), aria_hidden="true")


def class_name(info: ClassInfo, index: int) -> Markup:
    """A class by colour and name; the page's script makes a button of it that lights the class up everywhere."""
    return tag("span", chip(info), info.name, data_class=str(index))


def sorted_by(value: float, shown: str | None) -> Markup:
    """What stands for a number that its text does not give: such cells are sorted by it."""
    return tag("data", shown, value=f"{value:g}")


def digest_text(value: str) -> Markup:
    """The first 12 digits of a digest; the full text shows when it is pointed at."""
    return tag("code", value[:12] + "…", title=value) if len(value) > 16 else tag("code", value)


def html_table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Collection[int] = (),
    *,
    sortable: bool = False,
) -> Markup:
    """A table whose first column names its rows; `numeric` columns are set flush right."""
    side = ["number" if column in numeric else None for column in range(len(head))]
    titles = (tag("th", text, scope="col", class_=kind) for text, kind in zip(head, side, strict=True))
    body = (_row(cells, side) for cells in rows)
    parts = (tag("caption", caption), tag("thead", tag("tr", *titles)), tag("tbody", *body))
    inner = tag("table", *parts, data_sortable="" if sortable else None)
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _row(cells: Sequence[str], side: Sequence[str | None]) -> Markup:
    first, *rest = cells
    others = (tag("td", cell, class_=kind) for cell, kind in zip(rest, side[1:], strict=True))
    return tag("tr", tag("th", first, scope="row", class_=side[0]), *others)


def facts_list(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and values as a description list."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def number_text(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number with a real minus sign and grouped thousands; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}".replace("-", "−").replace(",", "\u202f") + (f"\u202f{unit}" if unit else "")


def signed_number(value: float, digits: int = 2, unit: str = "") -> str:
    """As number, with a sign; a value that rounds to nothing has none."""
    shown = round(value, digits)
    return ("+" if shown > 0 else "") + number_text(shown + 0.0, digits, unit)


def percent_text(value: float | None) -> str:
    """A share in 0..1 as percent, never rounded up to 100."""
    if value is None:
        return "–"
    return "100\u202f%" if value >= 1 else number_text(min(value * 100, 99.999), 3, "%")


def size_text(count: int) -> str:
    """A number of bytes in kB or MB (powers of ten)."""
    return number_text(count / 1e6, 2, "MB") if count >= 1e6 else number_text(count / 1e3, 1, "kB")
