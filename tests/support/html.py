"""A page as a browser reads it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "path"}


@dataclass
class Strip:
    """The letters of a test or request, the title of each, and its text for readers of screens."""

    alt: str
    letters: str = ""
    titles: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """What a browser would make of a page: its elements, closed in order, and their text.

    `strips` are those of each section by the name in whose row they stand, `runs` the IDs of its
    runs.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.section = self.name = ""
        self.strips: dict[str, dict[str, Strip]] = {}
        self.runs: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        elif tag == "th":
            self.name = ""
        elif tag == "span" and "aria-label" in dict(attrs):
            strips = self.strips.setdefault(self.section, {})
            strips[self.name] = Strip(str(dict(attrs)["aria-label"]))
        elif tag == "i" and "title" in dict(attrs):
            self.strips[self.section][self.name].titles.append(str(dict(attrs)["title"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-2:] == ["th", "bdi"]:
            self.name += data
        if self.open[-3:] == ["td", "span", "i"] or self.open[-3:] == ["p", "span", "i"]:
            strip = self.strips.get(self.section, {}).get(self.name)
            if strip and len(strip.letters) < len(strip.titles):
                strip.letters += data
        if self.open[-2:] == ["code", "bdi"] and "th" not in self.open:
            self.runs.setdefault(self.section, []).append(data)
        if data.strip():
            self.texts.setdefault(self.section, []).append(data.strip())

    def text(self, section: str) -> str:
        return " ".join(self.texts[section])
