"""The scenarios by name, and how each is judged.

facts    both run it; what they answer, row by row, is the table of docs/twistd.md
fault    the same body runs for both: twistd must fail it, with that symptom, and rsd must pass
same     both must pass, and answer the same
ours     rsd must pass
"""

from dataclasses import dataclass
from typing import Callable


@dataclass
class Scenario:
    name: str
    judged: str
    group: str
    body: Callable
    symptom: str = ""  # what twistd's failure says, for a fault

    def __call__(self, place):
        return self.body(place)


SCENARIOS = {}


def add(name, judged, group, body, symptom=""):
    assert name not in SCENARIOS, f"two scenarios are called {name}"
    SCENARIOS[name] = Scenario(name, judged, group, body, symptom)


def facts(group):
    def mark(body):
        add(body.__name__.replace("_", "-"), "facts", group, body)
        return body

    return mark


def _judged(how):
    def mark_with(group, symptom=""):
        def mark(body):
            add(f"{group}: {body.__name__.replace('_', ' ')}", how, group, body, symptom)
            return body

        return mark

    return mark_with


fault = _judged("fault")
same = _judged("same")
ours = _judged("ours")
