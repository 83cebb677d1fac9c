//! A scripted HTTP server on a free port of this machine: it records every request and answers as the script
//! says, broken answers included.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The head and the content of a multipart field.
    pub(crate) fn part(&self, name: &str) -> Option<(String, Vec<u8>)> {
        let boundary = self.header("content-type")?.split_once("boundary=")?.1.to_owned();
        let wanted = format!("name=\"{name}\"");
        split(&self.body, format!("--{boundary}").as_bytes()).into_iter().find_map(|part| {
            let at = find(part, b"\r\n\r\n")?;
            let head = String::from_utf8_lossy(&part[..at]).into_owned();
            head.contains(&wanted).then(|| (head, part[at + 4..part.len() - 2].to_vec()))
        })
    }

    /// The text of a multipart field.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.part(name).map(|(_, content)| String::from_utf8(content).unwrap())
    }

    /// The value of a field of a URL-encoded form.
    pub(crate) fn form_field(&self, name: &str) -> Option<String> {
        value_of(&String::from_utf8_lossy(&self.body), name)
    }

    /// The value of a parameter of the address.
    pub(crate) fn query_field(&self, name: &str) -> Option<String> {
        value_of(self.target.split_once('?')?.1, name)
    }
}

/// What the server does with a request.
pub(crate) enum Answer {
    Json(u16, Value),
    /// With further header lines.
    JsonWith(u16, Vec<String>, Value),
    /// These bytes and the end of the connection.
    Raw(Vec<u8>),
    /// These bytes and then silence until the client goes away.
    Hang(Vec<u8>),
    /// A head that promises much, and then a byte now and again until the client goes away.
    Drip,
}

pub(crate) struct Loopback {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    closing: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Answers each request with what `script` makes of it.
    pub(crate) fn new(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let (record, stop) = (Arc::clone(&seen), Arc::clone(&closing));
        let acceptor = thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = connection else { continue };
                let (record, script) = (Arc::clone(&record), Arc::clone(&script));
                thread::spawn(move || {
                    let Some(request) = read_request(&mut stream) else { return };
                    let answer = script(&request);
                    record.lock().unwrap().push(request);
                    // A client that has gone away meanwhile is part of some tests.
                    let _ = give(&mut stream, answer);
                });
            }
        });
        Self { base: format!("http://{address}"), seen, closing, acceptor: Some(acceptor) }
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests to paths that contain `word`.
    pub(crate) fn requests_to(&self, word: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|request| request.target.contains(word)).collect()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&piece[..n]),
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen { method, target, head, body: bytes[head_end + 4..].to_vec() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    while seen.body.len() < length {
        match stream.read(&mut piece).ok()? {
            0 => return None,
            n => seen.body.extend_from_slice(&piece[..n]),
        }
    }
    Some(seen)
}

fn give(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Json(status, body) => give(stream, Answer::JsonWith(status, Vec::new(), body)),
        Answer::JsonWith(status, headers, body) => {
            let body = body.to_string();
            let headers = headers.iter().fold(String::new(), |all, line| all + line + "\r\n");
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n{headers}\r\n{body}"
            )
        }
        Answer::Raw(bytes) => stream.write_all(&bytes),
        Answer::Hang(bytes) => {
            stream.write_all(&bytes)?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).map(drop)
        }
        Answer::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
            // Nobody ever sends: this is the pace of the drip.
            let (_keep, tick) = mpsc::channel::<()>();
            loop {
                stream.write_all(b" ")?;
                let _ = tick.recv_timeout(Duration::from_millis(20));
            }
        }
    }
}

fn value_of(pairs: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://x/?{pairs}")).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn split<'a>(mut bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, separator) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + separator.len()..];
    }
    parts.push(bytes);
    parts
}
