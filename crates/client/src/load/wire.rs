//! Calls over HTTP/2 with nothing in between: no balancing, no reconnecting, no queue. What a client costs that is made for
//! speed, as the one is that a server is measured beside.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use prost::Message;
use tokio::net::TcpStream;
use tonic::codegen::http::uri::Authority;
use tonic::codegen::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use tonic::{Code, Status};

use super::Failed;

/// A frame of gRPC begins with whether it is compressed, and its length.
const HEAD: usize = 5;
/// As much as clients of gRPC usually let a server send before they have read it.
const WINDOW: u32 = 2 << 20;

/// A connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    requests: SendRequest<Bytes>,
    uri: Uri,
    timeout: Duration,
    timeout_header: HeaderValue,
}

impl Wire {
    /// Connects to the server at `url`, for calls of the method at `path`; none where that needs more than plain TCP.
    pub(super) async fn connect(url: &str, path: &'static str, timeout: Duration) -> Option<Self> {
        let server: Uri = url.parse().ok()?;
        let authority: Authority = server.authority()?.clone();
        if server.scheme_str()? != "http" {
            return None;
        }
        let stream = TcpStream::connect((authority.host(), authority.port_u16()?)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(2 * WINDOW).enable_push(false);
        let (requests, connection) = builder.handshake(stream).await.ok()?;
        // it ends when its last clone is gone, or it breaks, which the calls on it hear
        tokio::spawn(connection);
        let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build().ok()?;
        let timeout_header = HeaderValue::try_from(format!("{}m", timeout.as_millis().min(99_999_999))).ok()?;
        Some(Self { requests, uri, timeout, timeout_header })
    }

    /// Sends a message and gives the bytes of the one that is answered.
    pub(super) async fn call(&self, message: &impl Message) -> Result<Bytes, Failed> {
        match tokio::time::timeout(self.timeout, self.answered(message)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failed("TimedOut".into())),
        }
    }

    async fn answered(&self, message: &impl Message) -> Result<Bytes, Failed> {
        let mut requests = self.requests.clone().ready().await.map_err(lost)?;
        let (answer, mut body) = requests.send_request(self.head(), false).map_err(lost)?;
        body.send_data(framed(message), true).map_err(lost)?;
        let (head, mut answer) = answer.await.map_err(lost)?.into_parts();
        // an answer without a message has its status where others have their head
        refused(&head.headers)?;
        let frame = whole(&mut answer).await?;
        let end = answer.trailers().await.map_err(lost)?;
        match end {
            Some(end) if end.contains_key(Status::GRPC_STATUS) => refused(&end)?,
            _ => return Err(Failed::WRONG_ANSWER),
        }
        message_of(frame)
    }

    fn head(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-timeout", self.timeout_header.clone());
        headers.insert("user-agent", HeaderValue::from_static(concat!("hitherto-load/", env!("CARGO_PKG_VERSION"))));
        request
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// All bytes of an answer; copied only if they come in several frames.
async fn whole(answer: &mut RecvStream) -> Result<Bytes, Failed> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = answer.data().await {
        let piece = piece.map_err(lost)?;
        answer.flow_control().release_capacity(piece.len()).map_err(lost)?;
        if first.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The one message of a frame of gRPC.
fn message_of(mut frame: Bytes) -> Result<Bytes, Failed> {
    if frame.len() < HEAD || frame.get_u8() != 0 || frame.get_u32() as usize != frame.len() {
        return Err(Failed::WRONG_ANSWER);
    }
    Ok(frame)
}

/// What a server says, if it refuses.
fn refused(headers: &HeaderMap) -> Result<(), Failed> {
    match headers.get(Status::GRPC_STATUS) {
        None => Ok(()),
        Some(code) if code == "0" => Ok(()),
        Some(code) => Err(Failed(format!("{:?}", Code::from_bytes(code.as_bytes())).into())),
    }
}

fn lost(error: h2::Error) -> Failed {
    match error.reason() {
        Some(Reason::CANCEL) => Failed("Cancelled".into()),
        _ => Failed("Lost".into()),
    }
}
