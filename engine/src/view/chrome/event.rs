//! One event of the format, and how it is printed.

use super::arguments::Arguments;
use crate::text::clean;
use crate::timeline::Timeline;
use serde::Serialize;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::{self, Write};

/// A track, or a process, and its name.
pub struct Track {
    pub pid: u32,
    /// `None` for the process itself
    pub tid: Option<u32>,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// so long, in nanoseconds
    Slice(u64),
    /// a mark on its track
    Mark,
    /// a mark on its process
    Flag,
    /// an arrow begins in the slice that is open on the track
    From(u32),
    /// an arrow ends there
    To(u32),
}

pub struct Event<'a> {
    pub ts: u64,
    pub pid: u32,
    pub tid: u32,
    pub cat: &'static str,
    pub name: Cow<'a, str>,
    /// `✗ ` goes before the name
    pub failed: bool,
    pub shape: Shape,
    pub args: Arguments<'a>,
}

/// By time; at one moment slices before what refers to them, and the longer before what it holds.
pub fn order(events: &mut [Event]) {
    events.sort_by_key(|e| match e.shape {
        Shape::Slice(dur) => (e.ts, 0, Reverse(dur)),
        Shape::To(_) => (e.ts, 1, Reverse(0)),
        Shape::From(_) => (e.ts, 2, Reverse(0)),
        Shape::Mark | Shape::Flag => (e.ts, 3, Reverse(0)),
    });
}

fn json(value: &impl Serialize, line: &mut Vec<u8>) -> fmt::Result {
    serde_json::to_writer(line, value).map_err(|_| fmt::Error)
}

/// Nanoseconds as microseconds, without a float in between.
fn micros(name: &str, ns: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(name.as_bytes());
    let mut digits = itoa(ns / 1_000);
    line.append(&mut digits);
    if !ns.is_multiple_of(1_000) {
        let rest = ns % 1_000;
        line.push(b'.');
        line.extend([rest / 100, rest / 10 % 10, rest % 10].map(|d| b'0' + d as u8));
    }
}

fn itoa(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn field(name: &str, number: u32, line: &mut Vec<u8>) {
    line.extend_from_slice(name.as_bytes());
    line.append(&mut itoa(u64::from(number)));
}

fn flush(line: &mut Vec<u8>, out: &mut impl Write) -> fmt::Result {
    out.write_str(std::str::from_utf8(line).map_err(|_| fmt::Error)?)?;
    line.clear();
    Ok(())
}

impl Track {
    /// `place`: how many were written before it.
    pub fn write(&self, place: usize, line: &mut Vec<u8>, out: &mut impl Write) -> fmt::Result {
        #[derive(Serialize)]
        struct Named<'a> {
            name: Cow<'a, str>,
        }
        #[derive(Serialize)]
        struct Sorted {
            sort_index: usize,
        }
        #[derive(Serialize)]
        struct Metadata<'a, A> {
            ph: &'static str,
            cat: &'static str,
            pid: u32,
            tid: u32,
            name: &'a str,
            args: A,
        }
        fn one<A: Serialize>(track: &Track, name: &str, args: A, line: &mut Vec<u8>) -> fmt::Result {
            let (pid, tid) = (track.pid, track.tid.unwrap_or(track.pid));
            json(&Metadata { ph: "M", cat: "__metadata", pid, tid, name, args }, line)
        }
        if place > 0 {
            line.extend_from_slice(b",\n");
        }
        let (name, sort) = match self.tid {
            None => ("process_name", "process_sort_index"),
            Some(_) => ("thread_name", "thread_sort_index"),
        };
        one(self, name, Named { name: clean(&self.name) }, line)?;
        line.extend_from_slice(b",\n");
        one(self, sort, Sorted { sort_index: place }, line)?;
        flush(line, out)
    }
}

impl Event<'_> {
    /// Never the first: tracks are written before.
    pub fn write(
        &self,
        timeline: &Timeline,
        limit: u64,
        line: &mut Vec<u8>,
        out: &mut impl Write,
    ) -> fmt::Result {
        let name = clean(&self.name);
        let ph = match self.shape {
            Shape::Slice(_) => "X",
            Shape::Mark | Shape::Flag => "i",
            Shape::From(_) => "s",
            Shape::To(_) => "f",
        };
        line.extend_from_slice(b",\n{\"ph\":\"");
        line.extend_from_slice(ph.as_bytes());
        line.extend_from_slice(b"\",\"cat\":\"");
        line.extend_from_slice(self.cat.as_bytes());
        line.push(b'"');
        field(",\"pid\":", self.pid, line);
        field(",\"tid\":", self.tid, line);
        micros(",\"ts\":", self.ts, line);
        match self.shape {
            Shape::Slice(dur) => micros(",\"dur\":", dur, line),
            Shape::Mark => line.extend_from_slice(b",\"s\":\"t\""),
            Shape::Flag => line.extend_from_slice(b",\"s\":\"p\""),
            Shape::From(id) => field(",\"id\":", id, line),
            Shape::To(id) => field(",\"bp\":\"e\",\"id\":", id, line),
        }
        line.extend_from_slice(b",\"name\":");
        match self.failed {
            true => json(&format!("✗ {name}"), line)?,
            false => json(&name, line)?,
        }
        if !matches!(self.args, Arguments::None) {
            line.extend_from_slice(b",\"args\":");
            self.args.write(timeline, limit, line)?;
        }
        line.push(b'}');
        flush(line, out)
    }
}
