//! Which lines are messages? What is none, or is too long, gets an error of JSON-RPC: a client waits for an answer to what it has sent.

use std::io;
use std::pin::Pin;

use rmcp::model::{ErrorCode, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{ErrorData, RoleServer};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, Empty};

use super::super::request_error::RequestError;
use super::agent::error_of;

/// Of a member of a message's object that is looked at for the message's id.
const MAX_MEMBER_BYTES: usize = 512;

type Answering = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A message a line, over a pair of streams. A line that is half read and an error that is half sent are kept here, because `receive`
/// is dropped and called again whenever something else is to be sent.
pub(super) struct Lines<R, W: AsyncWrite> {
    read: BufReader<R>,
    line: Vec<u8>,
    max_line: usize,
    /// While the rest of a line that is too long goes by.
    passing: Option<IdScan>,
    write: AsyncRwTransport<RoleServer, Empty, W>,
    answering: Option<Answering>,
}

/// Why a line is no message, and whom that is told.
type Refused = (ErrorData, Option<RequestId>);

impl<R, W> Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// No line of more than `max_line` bytes is kept in memory.
    pub(super) fn new(read: R, write: W, max_line: usize) -> Self {
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
            max_line,
            passing: None,
            write: AsyncRwTransport::new_server(tokio::io::empty(), write),
            answering: None,
        }
    }

    /// The next line, or why it is none; `None` at the end.
    async fn next_line(&mut self) -> Option<Result<Vec<u8>, Refused>> {
        loop {
            let available = match self.read.fill_buf().await {
                Ok([]) => return None,
                Ok(available) => available,
                Err(error) => {
                    tracing::error!(%error, "standard input cannot be read");
                    return None;
                }
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let (taken, whole) = end.map_or((available.len(), false), |end| (end + 1, true));
            let piece = &available[..taken];
            if self.passing.is_none() && self.line.len() + piece.len() > self.max_line {
                let mut scan = IdScan::default();
                scan.feed(&std::mem::take(&mut self.line));
                self.passing = Some(scan);
            }
            if let Some(scan) = &mut self.passing {
                scan.feed(piece);
            } else {
                self.line.extend_from_slice(piece);
            }
            self.read.consume(taken);
            if !whole {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            return Some(self.passing.take().map_or(Ok(line), |scan| Err((self.too_long(), scan.id))));
        }
    }

    fn too_long(&self) -> ErrorData {
        let limit_bytes = u64::try_from(self.max_line).unwrap_or(u64::MAX);
        let failure = RequestError::TooLarge { limit_bytes }.into();
        tracing::warn!(limit_bytes, "a line was too long");
        ErrorData::new(ErrorCode::INVALID_REQUEST, "the line is too long", Some(error_of(&failure)))
    }
}

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.write.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(answering) = &mut self.answering {
                let answered = answering.await;
                self.answering = None;
                answered.ok()?;
            }
            let message = match self.next_line().await? {
                Ok(line) => message_of(&line),
                Err(refused) => Err(refused),
            };
            match message {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err((error, id)) => {
                    self.answering = Some(Box::pin(self.write.send(JsonRpcMessage::error(error, id))));
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.write.close().await
    }
}

/// What a line says; `None` where it says nothing, or tells of something that is not known here and waits for no answer.
fn message_of(line: &[u8]) -> Result<Option<RxJsonRpcMessage<RoleServer>>, Refused> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let error = match serde_json::from_slice(line) {
        Ok(message) => return Ok(Some(message)),
        Err(error) => error,
    };
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| (ErrorData::parse_error(format!("the line is no JSON: {error}"), None), None))?;
    let id = RequestId::deserialize(&value["id"]).ok();
    match (value.get("method"), id) {
        (Some(_), None) if value.get("id").is_none() => Ok(None),
        (Some(_), id) => Err((not_a_message(&error), id)),
        // What looks like an answer is told of without its id, which is of a request of this side.
        (None, _) => Err((not_a_message(&error), None)),
    }
}

fn not_a_message(error: &serde_json::Error) -> ErrorData {
    ErrorData::invalid_request(format!("the line is no message of the protocol: {error}"), None)
}

/// Looks for the `id` of an object that is too large to be kept: among its own members, wherever it stands.
#[derive(Default)]
struct IdScan {
    /// Braces and brackets that are open.
    depth: usize,
    is_text: bool,
    is_escaped: bool,
    /// The beginning of the member that goes by.
    member: Vec<u8>,
    id: Option<RequestId>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: RequestId,
}

impl IdScan {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ends_member = !self.is_text && self.depth == 1 && matches!(byte, b',' | b'}');
            if ends_member {
                self.end_member();
            } else if self.depth > 0 && self.member.len() <= MAX_MEMBER_BYTES {
                self.member.push(byte);
            }
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_text => self.is_escaped = true,
                b'"' => self.is_text = !self.is_text,
                b'{' | b'[' if !self.is_text => self.depth += 1,
                b'}' | b']' if !self.is_text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn end_member(&mut self) {
        if self.id.is_none() && self.member.len() <= MAX_MEMBER_BYTES {
            let object = [b"{", self.member.as_slice(), b"}"].concat();
            self.id = serde_json::from_slice(&object).ok().map(|OnlyId { id }| id);
        }
        self.member.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client is answered that sends `lines`, of which none may have more than 100 bytes; and how many messages came through.
    fn answers(lines: &[u8]) -> (Vec<Value>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (write, mut written) = tokio::io::duplex(1 << 16);
        let messages = runtime.block_on(async {
            let mut transport = Lines::new(lines, write, 100);
            let mut messages = 0;
            while transport.receive().await.is_some() {
                messages += 1;
            }
            messages
        });
        let mut text = String::new();
        runtime.block_on(tokio::io::AsyncReadExt::read_to_string(&mut written, &mut text)).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), messages)
    }

    #[test]
    fn a_line_that_is_no_message_or_is_too_long_is_answered_with_an_error() {
        let long = "x".repeat(300);
        let lines = [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
            "no JSON".to_owned(),
            String::new(),
            format!(r#"{{"jsonrpc":"2.0","id":2,"method":"ping","params":{{"a":"{long}"}}}}"#),
            format!(r#"{{"method":"ping","params":{{"a":"{long}"}},"jsonrpc":"2.0","id":"three"}}"#),
            long,
            r#"{"jsonrpc":"1.0","id":4,"method":"ping"}"#.to_owned(),
            "[1]".to_owned(),
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}\r".to_owned(),
            r#"{"jsonrpc":"2.0","id":6,"#.to_owned(),
        ];
        let (answers, messages) = answers(format!("{}\n{{\"unfinished\"", lines.join("\n")).as_bytes());
        assert_eq!(messages, 2);
        let told: Vec<_> = answers
            .iter()
            .map(|answer| {
                (
                    answer["id"].clone(),
                    answer["error"]["code"].clone(),
                    answer["error"]["data"]["code"].clone(),
                )
            })
            .collect();
        let too_large = Value::from("request_too_large");
        assert_eq!(
            told,
            [
                (Value::Null, Value::from(-32700), Value::Null),
                (Value::from(2), Value::from(-32600), too_large.clone()),
                (Value::from("three"), Value::from(-32600), too_large.clone()),
                (Value::Null, Value::from(-32600), too_large),
                (Value::from(4), Value::from(-32600), Value::Null),
                (Value::Null, Value::from(-32600), Value::Null),
                (Value::Null, Value::from(-32700), Value::Null),
            ]
        );
    }

    #[test]
    fn an_id_is_found_wherever_it_stands_among_the_members_of_a_message_and_nowhere_else() {
        let filler = "x".repeat(4 * MAX_MEMBER_BYTES);
        let id = |line: &str| {
            let mut scan = IdScan::default();
            // In pieces, as it comes.
            line.as_bytes().chunks(7).for_each(|piece| scan.feed(piece));
            scan.id.map(|id| id.to_string())
        };
        let params = format!(r#""params":{{"id":1,"a":["{filler}\"}},\"id\":2,"],"b":{{"id":3}}}}"#);
        assert_eq!(id(&format!(r#"{{"jsonrpc":"2.0","id":77,{params}}}"#)), Some("77".to_owned()));
        assert_eq!(id(&format!(r#"{{"method":"m", {params} , "id" : "a,}}b"}}"#)), Some("a,}b".to_owned()));
        assert_eq!(id(&format!("{{{params}}}")), None);
        assert_eq!(id(&format!(r#"{{"id":null,{params}}}"#)), None);
        assert_eq!(id(&format!(r#"{{"id":"{filler}",{params}}}"#)), None);
        assert_eq!(id(&format!(r#"[{{"id":5,{params}}}]"#)), None);
        assert_eq!(id(&filler), None);
    }
}
