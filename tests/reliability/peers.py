"""Measures both tables of docs/reliability.md.

    tests/peers [--only rsd,dpkg,…] [--table state|failures] [--quick] [--write]

Whoever is not there is left out, and said; `tests/peers --install` installs what Debian has. Exits with 1 where a cell
of rsd's own is not clean. RSD_TEST_BIN is the rsd to test, otherwise target/release/rsd; RSD_TEST_TWISTED holds
twistd, otherwise target/twisted-venv.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import document  # noqa: E402
import sandbox  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = "RSD_PEERS_VERSIONS"


def chosen(starters, only):
    for starter in starters:
        if only and starter.name not in only:
            continue
        if starter.there():
            yield starter
        elif only or starter.name == "rsd":
            sys.exit(f"{starter.name}: {starter.needs} is not there")
        else:
            print(f"left out: {starter.name}: {starter.needs} is not there (tests/peers --install)")


def versions():
    """The packages' versions, asked before their data base is out of sight."""
    import starters

    known = [f"{s.package} {s.version()}" for s in starters.GIVERS if s.package and s.there()]
    if starters.TWISTD.there():
        words = [os.environ["RSD_TEST_TWISTED"] + "/bin/python3", starters.TWISTD.needs, "--version"]
        known.append("Twisted " + subprocess.run(words, capture_output=True, text=True).stdout.split()[4])
    return f"Linux {platform.release()}, {os.cpu_count()} processors; {', '.join(known)}."


def state_table(starters):
    import state

    rows, unclean = [], []
    for starter in starters:
        cells = state.measure(starter)
        if starter.name == "rsd":
            unclean += [f"{column}: {cell.text}" for column, cell in zip(state.COLUMNS, cells) if not cell.clean]
        rows.append(f"| {starter.title} | {' | '.join(str(cell) for cell in cells)} |")
    head = [f"| starter | {' | '.join(state.COLUMNS)} |", "|---" * (len(state.COLUMNS) + 1) + "|"]
    return [os.environ[VERSIONS], "", *head, *rows], unclean


def failure_table(starters, quick):
    import failures

    columns, unclean = {}, []
    for starter in starters:
        columns[starter.name] = cells = failures.measure(starter, quick)
        if starter.name == "rsd":
            unclean += [f"{row}: {cell.text}" for row, cell in cells.items() if not cell.clean]
    head = [f"| | {' | '.join(s.title for s in starters)} |", "|---" * (len(starters) + 1) + "|"]
    rows = [f"| {row} | {' | '.join(str(columns[s.name][row]) for s in starters)} |" for row in failures.ROWS]
    return [os.environ[VERSIONS], "", *head, *rows], unclean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--table", choices=["state", "failures"])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/reliability.md")
    arguments = parser.parse_args()
    os.environ.setdefault("RSD_TEST_BIN", str(ROOT / "target/release/rsd"))
    os.environ.setdefault("RSD_TEST_TWISTED", str(ROOT / "target/twisted-venv"))
    for variable in ("RSD_TEST_BIN", "RSD_TEST_TWISTED"):
        os.environ[variable] = os.path.abspath(os.environ[variable])
    if VERSIONS not in os.environ:
        os.environ[VERSIONS] = versions()
    sandbox.enter(keep=[ROOT, os.environ["RSD_TEST_BIN"], os.environ["RSD_TEST_TWISTED"]])
    import bench
    import starters

    sandbox.compile_c(Path(__file__).with_name("subject.c"), bench.SUBJECT, "-static")
    unclean = []
    tables = {
        "state": lambda: state_table(list(chosen(starters.GIVERS, arguments.only))),
        "failures": lambda: failure_table(list(chosen(starters.TELLERS, arguments.only)), arguments.quick),
    }
    for name, table in tables.items():
        if arguments.table in (None, name):
            lines, wrong = table()
            print("\n".join(lines), flush=True)
            unclean += wrong
            if arguments.write:
                document.put(name, lines)
    for line in unclean:
        print(f"not clean: {line}")
    sys.exit(1 if unclean else 0)


if __name__ == "__main__":
    main()
