"""check.py REQUEST.json [VIEW.json]: whether a collector would take it, and whether it is the run.

The published protocol definition is asked, with the parser of its authors: what it does not know is refused.
OTLP/JSON differs from protobuf's JSON in two things (opentelemetry.io/docs/specs/otlp, JSON Protobuf Encoding),
which are checked and changed before: ids are hexadecimal, and enums are numbers, never names.
"""

import base64
import json
import re
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


class Wrong(Exception):
    pass


def as_protobuf(value):
    if isinstance(value, list):
        return [as_protobuf(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, inner in value.items():
        if key in IDS:
            if not isinstance(inner, str) or not re.fullmatch(rf"[0-9a-f]{{{IDS[key]}}}", inner) or not inner.strip("0"):
                raise Wrong(f"{key} is {inner!r}")
            out[key] = base64.b64encode(bytes.fromhex(inner)).decode()
        elif key in ("kind", "code") and not isinstance(inner, int):
            raise Wrong(f"{key} is {inner!r}, not a number")
        elif (key.endswith("UnixNano") or key == "intValue") and not isinstance(inner, str):
            raise Wrong(f"{key} is {inner!r}, not a string")
        else:
            out[key] = as_protobuf(inner)
    return out


def parse(text):
    request = ExportTraceServiceRequest()
    try:
        json_format.Parse(json.dumps(as_protobuf(json.loads(text))), request, ignore_unknown_fields=False)
    except (json_format.ParseError, json.JSONDecodeError) as error:
        raise Wrong(str(error)) from error
    # What the binary protocol would carry is the same.
    again = ExportTraceServiceRequest()
    again.ParseFromString(request.SerializeToString())
    if again != request:
        raise Wrong("it does not survive the binary protocol")
    return request


def plain(value):
    kind = value.WhichOneof("value")
    inner = getattr(value, kind)
    return [plain(v) for v in inner.values] if kind == "array_value" else inner


def attributes(of):
    pairs = {a.key: plain(a.value) for a in of.attributes}
    if len(pairs) != len(of.attributes):
        raise Wrong("a key stands twice")
    return pairs


def check(request, view):
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    spans = scope.spans
    if attributes(resource.resource).get("service.name") != view["spec"]:
        raise Wrong("service.name is not the spec")
    if len({s.trace_id for s in spans}) != 1:
        raise Wrong("more than one trace")
    by_id = {s.span_id: s for s in spans}
    if len(by_id) != len(spans):
        raise Wrong("an id stands twice")
    if sum(not s.parent_span_id for s in spans) != 1:
        raise Wrong("there is not one root")
    for span in spans:
        if span.parent_span_id and span.parent_span_id not in by_id:
            raise Wrong(f"{span.name} has no parent")
        if any(link.span_id not in by_id for link in span.links):
            raise Wrong(f"{span.name} links to nothing")
        if span.start_time_unix_nano > span.end_time_unix_nano:
            raise Wrong(f"{span.name} ends before it begins")
        if span.kind != Span.SPAN_KIND_INTERNAL:
            raise Wrong(f"{span.name} is no internal span")
    phases = {}
    for span in spans:
        name = attributes(span).get("rsd.phase")
        if name is not None and phases.setdefault(name, span) is not span:
            raise Wrong(f"{name} stands twice")
    for told in view["spans"]:
        span = phases.get(told["phase"])
        if span is None:
            raise Wrong(f"{told['phase']} is missing")
        has = attributes(span)
        failed = told["error"] is not None
        if (span.status.code == Status.STATUS_CODE_ERROR) != failed or failed and not span.status.message:
            raise Wrong(f"{span.name}: its status is not that of the run")
        needs = {attributes(by_id[link.span_id])["rsd.phase"] for link in span.links}
        if needs != set(told["needs"]):
            raise Wrong(f"{span.name}: links to {needs}, needs {told['needs']}")
        if told["start_ns"] is not None and span.start_time_unix_nano != view["wall_ns"] + told["start_ns"]:
            raise Wrong(f"{span.name} begins at another time")
        if told["end_ns"] is not None and span.end_time_unix_nano != view["wall_ns"] + told["end_ns"]:
            raise Wrong(f"{span.name} ends at another time")
        if told["identity_before"] and has["rsd.before.uid"] != told["identity_before"]["uid"]:
            raise Wrong(f"{span.name}: another uid")
        if (has.get("process.pid"), has["rsd.state"]) != (told["pid_start"], told["state"]):
            raise Wrong(f"{span.name}: another pid or state")
    if len(phases) != len(view["spans"]):
        raise Wrong("there are phases that the run did not have")
    return len(spans), len(phases)


try:
    request = parse(open(sys.argv[1], encoding="utf-8").read())
    with open(sys.argv[2], encoding="utf-8") as file:
        spans, phases = check(request, json.load(file))
    print(f"{sys.argv[1]}: {spans} spans, {phases} of them phases")
except Wrong as wrong:
    print(f"{sys.argv[1]}: wrong: {wrong}")
    sys.exit(1)
