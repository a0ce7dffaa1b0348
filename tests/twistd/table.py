"""The table of docs/twistd.md: what each side does, why they differ, and the ticket.

A row is `| fact | twistd | rsd twistd | why | ticket |`; where both do the same the third cell says
`same` and nothing needs a reason. Measured cells are checked, and written by `--write`; reasons and
tickets are a person's.
"""

from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "twistd.md"
BEGIN, END = "<!-- facts: begin -->", "<!-- facts: end -->"
HEAD = "| fact | twistd | rsd twistd | why | ticket |\n|---|---|---|---|---|\n"
SAME = "same"


def cell(text):
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").strip() or "-"


def split(line):
    """The cells of a row of the table."""
    cells, now, escaped = [], "", False
    for letter in line.strip().strip("|"):
        if letter == "|" and not escaped:
            cells.append(now.strip())
            now = ""
            continue
        escaped = letter == "\\" and not escaped
        now += letter
    return [*cells, now.strip()]


def read(text):
    """{fact: (theirs, ours, why, ticket)}"""
    rows = {}
    inside = text.partition(BEGIN)[2].partition(END)[0]
    for line in inside.splitlines():
        if line.startswith("| ") and not line.startswith("| fact "):
            name, *rest = split(line)
            if len(rest) == 4:
                rows[name] = tuple(rest)
    return rows


def rows_of(result):
    """{fact: (theirs, ours)} of one scenario that was run on both sides."""
    theirs, ours = (result[side].get("result", {}) for side in ("theirs", "ours"))
    for name in list(theirs) + [name for name in ours if name not in theirs]:
        left, right = cell(theirs.get(name, "not seen")), cell(ours.get(name, "not seen"))
        yield name, left, SAME if left == right else right


def check(measured, whole, write):
    """What is wrong between the table and what was measured: [(fact, why)]."""
    text = DOCUMENT.read_text()
    table = read(text)
    wrong, groups, seen = [], {}, set()
    for scenario, result in measured:
        if any("result" not in result[side] for side in ("theirs", "ours")):
            seen.add(scenario.name)
            continue
        for name, theirs, ours in rows_of(result):
            seen.add(name)
            had = table.get(name)
            reason = had[2:] if had and ours != SAME else ("", "")
            groups.setdefault(scenario.group, []).append((name, theirs, ours, *reason))
            if ours != SAME and reason[0] in ("", "-", "?"):
                wrong.append((name, f"differs, and no row says why\n  twistd: {theirs}\n  rsd:    {ours}"))
            if write:
                continue
            if had is None:
                wrong.append((name, f"no row: twistd `{theirs}`, rsd `{ours}` (--write adds it)"))
            elif had[:2] != (theirs, ours):
                wrong.append((name, f"the row says\n  {had[0]}\n  {had[1]}\nbut seen was\n  {theirs}\n  {ours}"))
    if whole and not write:
        wrong += [(name, "a row that nothing measures") for name in table if name not in seen]
    if write:
        DOCUMENT.write_text(written(text, groups, table, whole))
    return wrong


def written(text, groups, table, whole):
    if not whole:
        fresh = {row[0]: row for rows in groups.values() for row in rows}
        lines = []
        for line in text.splitlines(keepends=True):
            name = split(line)[0] if line.startswith("| ") else None
            lines.append(line_of(fresh.pop(name)) if name in fresh else line)
        return "".join(lines)
    parts = [f"\n### {group}\n\n{HEAD}{''.join(map(line_of, rows))}" for group, rows in groups.items()]
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n{''.join(parts)}\n{END}{after}"


def line_of(row):
    return "| " + " | ".join(part or "-" for part in row) + " |\n"
