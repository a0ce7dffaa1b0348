use super::*;
use crate::timeline::samples::{self, *};
use serde_json::Value as Json;
use std::collections::HashSet;

fn spans(timeline: &Timeline) -> Vec<Json> {
    let request: Json = serde_json::from_str(&render(timeline, None)).expect("JSON");
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone()
}

fn find<'a>(spans: &'a [Json], name: &str) -> &'a Json {
    spans.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no span {name}"))
}

fn attribute<'a>(span: &'a Json, key: &str) -> &'a Json {
    let list = span["attributes"].as_array().expect("attributes");
    list.iter().find(|a| a["key"] == key).map_or(&Json::Null, |a| &a["value"])
}

#[test]
fn ids_are_unique_of_the_right_length_and_lead_somewhere() {
    for run in
        [served(), unwound(), stuck(), guarded(), running(), foreground(), parallel(), many(300), vec![]]
    {
        let timeline = Timeline::from_events(&run);
        let spans = spans(&timeline);
        let ids: HashSet<&str> = spans.iter().filter_map(|s| s["spanId"].as_str()).collect();
        assert_eq!(ids.len(), spans.len());
        let hex = |id: &Json, digits| {
            id.as_str().is_some_and(|t| {
                t.len() == digits && t.bytes().all(|b| b.is_ascii_hexdigit()) && t.bytes().any(|b| b != b'0')
            })
        };
        for span in &spans {
            assert!(hex(&span["traceId"], 32) && hex(&span["spanId"], 16));
            assert_eq!(span["traceId"], spans[0]["traceId"]);
            assert!(span["parentSpanId"].as_str().is_none_or(|p| ids.contains(p)));
            for link in span["links"].as_array().into_iter().flatten() {
                assert!(link["spanId"].as_str().is_some_and(|l| ids.contains(l)));
            }
            let time = |key: &str| span[key].as_str().and_then(|t| t.parse::<u64>().ok()).expect("a time");
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
            assert!(time("startTimeUnixNano") >= timeline.wall_ns);
        }
        assert_eq!(spans.iter().filter(|s| s.get("parentSpanId").is_none()).count(), 1, "one root");
        let phases = spans.iter().filter(|s| attribute(s, "rsd.phase").is_object()).count();
        assert_eq!(phases, timeline.spans.len());
    }
}

#[test]
fn a_failure_is_an_error_with_its_reason() {
    let spans = spans(&Timeline::from_events(&samples::unwound()));
    let failed = find(&spans, "privilegedStartService");
    assert_eq!(failed["status"]["code"], 2);
    assert_eq!(failed["status"]["message"], "bind tcp:127.0.0.1:807: Address already in use");
    assert_eq!(attribute(&failed["events"][0], "exception.type")["stringValue"], "EADDRINUSE");
    assert_eq!(spans[0]["status"]["code"], 2);
    assert_eq!(find(&spans, "chdir").get("status"), None);
    let undo = find(&spans, "undo openPIDFile");
    assert_eq!(undo["links"][0]["spanId"], find(&spans, "openPIDFile")["spanId"]);
    assert_eq!(attribute(find(&spans, "startReactor"), "rsd.state")["stringValue"], "pending");
}

#[test]
fn identity_needs_and_process_are_told() {
    let timeline = Timeline::from_events(&samples::served());
    let spans = spans(&timeline);
    let drop = find(&spans, "switchUidGid");
    assert_eq!(attribute(drop, "rsd.before.uid")["arrayValue"]["values"][1]["intValue"], "0");
    assert_eq!(attribute(drop, "rsd.after.uid")["arrayValue"]["values"][1]["intValue"], "1000");
    assert_eq!(attribute(drop, "rsd.after.caps")["arrayValue"]["values"], serde_json::json!([]));
    assert_eq!(drop["links"][0]["spanId"], find(&spans, "privilegedStartService")["spanId"]);
    let daemonize = find(&spans, "daemonize");
    assert_eq!(attribute(daemonize, "process.pid")["intValue"], "3798");
    assert_eq!(attribute(daemonize, "rsd.pid_end")["intValue"], "3850");
    assert_eq!(daemonize["parentSpanId"], find(&spans, "start")["spanId"]);
    let names: Vec<_> =
        spans[0]["events"].as_array().into_iter().flatten().map(|e| e["name"].clone()).collect();
    assert_eq!(names, ["ready", "fork", "fork", "SIGTERM"]);
    assert_eq!(render(&timeline, None), render(&timeline, None));
}
