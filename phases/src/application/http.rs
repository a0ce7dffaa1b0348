//! As much HTTP as the built-in application needs: one request, one answer, close. No IO in here.

use httparse::{EMPTY_HEADER, Error, Request, Status};
use serde_json::{Value, json};

/// No request head may be larger.
pub const HEAD_LIMIT: usize = 8 * 1024;

/// What came of the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// the head is not complete
    More,
    /// a request: method and path without its query
    Request {
        /// GET, HEAD …
        method: String,
        /// `/timeline`
        path: String,
    },
    /// it is refused with this status before it was understood
    Refused(u16),
}

/// Read a request head.
pub fn parse(head: &[u8]) -> Asked {
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(n)) if n > HEAD_LIMIT => Asked::Refused(431),
        Ok(Status::Complete(_)) => {
            let target = request.path.unwrap_or("/");
            let path = target.split(['?', '#']).next().unwrap_or("/");
            Asked::Request { method: request.method.unwrap_or("").to_owned(), path: path.to_owned() }
        }
        Ok(Status::Partial) if head.len() >= HEAD_LIMIT => Asked::Refused(431),
        Ok(Status::Partial) => Asked::More,
        Err(Error::TooManyHeaders) => Asked::Refused(431),
        Err(_) => Asked::Refused(400),
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// its status
    pub status: u16,
    /// its bytes, head and body
    pub bytes: Vec<u8>,
}

impl Answer {
    /// An answer with that document; a HEAD request gets its head alone.
    pub fn json(status: u16, document: &Value, head_only: bool) -> Answer {
        let mut body = serde_json::to_vec_pretty(document).unwrap_or_default();
        body.push(b'\n');
        let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{allow}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            reason(status),
            body.len()
        )
        .into_bytes();
        if !head_only {
            bytes.extend(body);
        }
        Answer { status, bytes }
    }

    /// An error with a sentence.
    pub fn error(status: u16, sentence: &str, head_only: bool) -> Answer {
        Answer::json(status, &json!({ "schema": 1, "error": sentence }), head_only)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_or_refused() {
        let get = |path: &str| Asked::Request { method: "GET".into(), path: path.into() };
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), get("/"));
        assert_eq!(parse(b"GET /timeline?a=b HTTP/1.0\r\n\r\n"), get("/timeline"));
        assert_eq!(parse(b"GET / HT"), Asked::More);
        assert_eq!(parse(b"\x16\x03\x01\x02\x00"), Asked::Refused(400));
        assert_eq!(parse(&[b'a'; HEAD_LIMIT]), Asked::Refused(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(parse(many.as_bytes()), Asked::Refused(431));
    }

    #[test]
    fn a_head_answer_tells_the_length_of_the_body_it_leaves_out() {
        let (get, head) = (Answer::error(404, "x", false), Answer::error(404, "x", true));
        assert!(get.bytes.starts_with(&head.bytes) && get.bytes.len() > head.bytes.len());
    }
}
