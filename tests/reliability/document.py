"""Puts measured tables into docs/reliability.md, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reliability.md"


def put(name, lines):
    text = PAGE.read_text()
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{PAGE}: no place for the table `{name}`")
    PAGE.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)
