//! Any bytes as a message of sd_notify(3).

use super::harmless;
use engine::timeline::{Event, Timeline, What};
use engine::view::text::{TextStyle, render};
use phases::notify::{Message, parse};

/// A message says what its bytes say, and no more.
pub fn holds(data: &[u8]) {
    let message = parse(data);
    assert_eq!(parse(&printed(&message)), spoken(&message), "written and read again it says the same");
    let twice = [data, b"\n", data].concat();
    assert_eq!(parse(&twice), message, "the last of a name holds, and it is the same");
    assert!(message.main_pid.is_none_or(|pid| pid > 1));
    assert!(message.errno.is_none_or(|n| (1..=4095).contains(&n)));
    assert_ne!(message.watchdog, Some(0));
    assert!(!message.alive || !message.trigger);
    let Some(text) = message.status else { return };
    assert!(text.chars().count() <= 201 && !text.contains('\n'), "{text:?}");
    let event = Event { t: 1, pid: 2, what: What::Status { text: text.clone() } };
    let line = serde_json::to_string(&event).expect("it can be written");
    assert!(!line.contains('\n'), "a record is one line");
    assert_eq!(serde_json::from_str::<Event>(&line).expect("and read"), event);
    let timeline = Timeline { spec: "t".to_owned(), status: Some((1, text)), ..Timeline::default() };
    harmless("the status", &render(&timeline, &TextStyle::default()));
}

/// As a program would write it.
fn printed(message: &Message) -> Vec<u8> {
    let mut lines: Vec<String> = Vec::new();
    let flags = [("READY", message.ready), ("RELOADING", message.reloading), ("STOPPING", message.stopping)];
    lines.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!("{name}=1")));
    lines.extend(message.alive.then(|| "WATCHDOG=1".to_owned()));
    lines.extend(message.trigger.then(|| "WATCHDOG=trigger".to_owned()));
    lines.extend(message.status.as_ref().map(|text| format!("STATUS={text}")));
    lines.extend(message.errno.map(|n| format!("ERRNO={n}")));
    lines.extend(message.main_pid.map(|n| format!("MAINPID={n}")));
    lines.extend(message.extend.map(|n| format!("EXTEND_TIMEOUT_USEC={n}")));
    lines.extend(message.watchdog.map(|n| format!("WATCHDOG_USEC={n}")));
    lines.join("\n").into_bytes()
}

/// The message after its status was cut twice.
fn spoken(message: &Message) -> Message {
    let cut = |text: &String| match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.clone(),
    };
    Message { status: message.status.as_ref().map(cut), ..message.clone() }
}
