#!/usr/bin/python3
"""Theirs and ours: the same scenarios under Twisted's twistd and under `rsd twistd`.

    bench.py [--only TEXT] [--judged facts|fault|same|ours] [--side theirs|ours] [--write] [--verbose]

RSD_TEST_TWISTED   the virtual environment that holds Twisted
RSD_TEST_BIN       the rsd to test
RSD_TEST_DOCS      the documentation of Twisted's source distribution, for its applications
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import place  # noqa: E402
import table  # noqa: E402
from registry import SCENARIOS  # noqa: E402

import applications  # noqa: E402, F401
import bad_input  # noqa: E402, F401
import exits  # noqa: E402, F401
import faults  # noqa: E402, F401
import forks  # noqa: E402, F401
import logs  # noqa: E402, F401
import signals  # noqa: E402, F401
import state  # noqa: E402, F401
import tickets  # noqa: E402, F401
import twisted_docs  # noqa: E402

PROGRAM = str(Path(__file__).resolve())


def wanted(arguments):
    for name, scenario in SCENARIOS.items():
        if arguments.judged and scenario.judged not in arguments.judged.split(","):
            continue
        if arguments.only and not any(text in name for text in arguments.only.split(",")):
            continue
        yield scenario


def sides(scenario, arguments):
    all_sides = ["ours"] if scenario.judged == "ours" else ["theirs", "ours"]
    return [side for side in all_sides if arguments.side in (None, side)]


def run_all(chosen, arguments, settings, jobs):
    """Every scenario on its sides: {name: {side: result}}."""
    results = {scenario.name: {} for scenario in chosen}
    with ThreadPoolExecutor(jobs) as pool:
        running = {
            pool.submit(place.outside, PROGRAM, scenario.name, side, settings): (scenario.name, side)
            for scenario in chosen
            for side in sides(scenario, arguments)
        }
        for future, (name, side) in running.items():
            results[name][side] = future.result()
            if arguments.verbose:
                print(f"{side} {name}: {results[name][side]}", flush=True)
    return results


def told(result):
    return "\n".join(str(result[key]) for key in ("failed", "broken", "said") if key in result)


def judge(scenario, result):
    """What is wrong with the results of one scenario, in words."""
    for side, got in result.items():
        if "broken" in got:
            yield f"{side}: the scenario itself broke\n{told(got)}"
            return
    theirs, ours = result.get("theirs"), result.get("ours")
    if ours is not None and "failed" in ours:
        yield f"ours: {told(ours)}"
    if theirs is None:
        return
    if scenario.judged == "fault":
        if "failed" not in theirs:
            yield "theirs passes it: twistd does not have this fault (any more)"
        elif not scenario.symptom or scenario.symptom not in theirs["failed"] + theirs.get("said", ""):
            yield f"theirs fails otherwise than with `{scenario.symptom}`: {told(theirs)}"
    elif "failed" in theirs:
        yield f"theirs: {told(theirs)}"
    elif scenario.judged == "same" and ours and "result" in ours and theirs["result"] != ours["result"]:
        yield f"they differ:\n  theirs {theirs['result']}\n  ours   {ours['result']}"


def faulty(chosen, results, arguments):
    """[(scenario or None, fact, why)] of everything that is not as it should be."""
    wrong = [(s, s.name, why) for s in chosen for why in judge(s, results[s.name])]
    measured = [(s, results[s.name]) for s in chosen if s.judged == "facts"]
    if measured and arguments.side is None:
        owner = {row: s for s, result in measured for side in result.values() for row in side.get("result", {})}
        found = table.check(measured, arguments.only is None, arguments.write)
        wrong += [(owner.get(row), row, why) for row, why in found]
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", help="scenarios whose name holds one of these texts (a,b,c)")
    parser.add_argument("--judged", help="facts, fault, same or ours (a,b,c)")
    parser.add_argument("--side", choices=["theirs", "ours"], help="only this side")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2))
    parser.add_argument("--write", action="store_true", help="write what was measured to docs/twistd.md")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    twisted_docs.collect(os.environ.get("RSD_TEST_DOCS"))
    if arguments.inside:
        name, side = arguments.inside
        place.inside(SCENARIOS[name], side)
    chosen = list(wanted(arguments))
    if arguments.list:
        print("\n".join(f"{scenario.judged:6} {scenario.name}" for scenario in chosen))
        return 0
    settings = {
        "venv": os.environ["RSD_TEST_TWISTED"],
        "rsd": os.environ["RSD_TEST_BIN"],
        "docs": os.environ.get("RSD_TEST_DOCS"),
    }
    results = run_all(chosen, arguments, settings, arguments.jobs)
    wrong = faulty(chosen, results, arguments)
    # Real daemons on a busy machine: what is wrong must be seen again, with nothing else running.
    again = list({s.name: s for s, _, _ in wrong if s}.values())
    if again and not arguments.write:
        first = wrong
        results |= run_all(again, arguments, settings, 1)
        wrong = faulty(chosen, results, arguments)
        for name, why in [(name, why) for _, name, why in first if name not in {n for _, n, _ in wrong}]:
            print(f"seen once and not again: {name}: {why}\n")
    if arguments.side is not None:
        for scenario in chosen:
            if scenario.judged == "facts":
                for row, value in results[scenario.name][arguments.side].get("result", {}).items():
                    print(f"{row}: {value}")
    for _, name, why in wrong:
        print(f"FAILED {name}: {why}\n")
    print(f"{len(chosen)} scenarios, {len(wrong)} failures")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
