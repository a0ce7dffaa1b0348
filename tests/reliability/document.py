"""Puts what was measured into a page, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reliability.md"


def _parts(name, page):
    text = page.read_text()
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    head, found, rest = text.partition(begin)
    body, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page}: it has no place for `{name}`")
    return head + begin, body, end + tail


def put(name, lines, page=PAGE):
    head, _, tail = _parts(name, page)
    page.write_text(head + "\n".join(lines) + "\n" + tail)


def get(name, page=PAGE):
    return _parts(name, page)[1]
