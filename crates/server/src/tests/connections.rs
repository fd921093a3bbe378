//! Connections: how many there may be, and what each may do.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{engine, eventually, options, start};
use crate::Options;

/// How every connection of HTTP/2 begins, and settings that say nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The kind of a frame of settings.
const SETTINGS: u8 = 4;

/// The settings with which a server answers; none where it closes the connection.
async fn settings(address: SocketAddr) -> Option<(TcpStream, Vec<(u16, u32)>)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(PREFACE).await.ok()?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head[3], SETTINGS);
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut body).await.ok()?;
    let pairs = body
        .chunks_exact(6)
        .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]])));
    Some((stream, pairs.collect()))
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_and_probes_have_places_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    // the fixture's client has one
    let server = start(folder, engine, Options { connections_max: 3, ..options() }).await;
    let first = settings(server.grpc).await.expect("a place");
    let second = settings(server.grpc).await.expect("a place");
    assert!(settings(server.grpc).await.is_none(), "there are three");
    assert_eq!(server.page("/healthz").await, (200, "ok\n".to_owned()));
    let (_, metrics) = server.page("/metrics").await;
    for line in ["hitherto_connections_open{address=\"grpc\"} 3", "hitherto_refusals_total{reason=\"connections\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "no line '{line}' in\n{metrics}");
    }
    assert!(server.client.catalog_revision().await.is_ok(), "who has a place keeps it");
    drop(first);
    let mut third = None;
    eventually(async || {
        third = settings(server.grpc).await;
        third.is_some()
    })
    .await;
    drop((second, third));
    server.end().await;
}

#[tokio::test]
async fn a_client_is_told_how_much_it_may_send() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let server = start(folder, engine, options()).await;
    let (stream, told) = settings(server.grpc).await.expect("a place");
    // calls at once, bytes ahead on each, and bytes of headers; frames are as small as they may be unless something is said
    for (id, expected) in [(3, 1024), (4, 1 << 20), (6, 16 << 10)] {
        assert!(told.contains(&(id, expected)), "setting {id} is not {expected}: {told:?}");
    }
    assert!(told.iter().all(|(id, value)| *id != 5 || *value == 16 << 10), "{told:?}");
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn pages_are_of_http_1_and_idle_connections_do_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let server = start(folder, engine, options()).await;
    let mut idle = TcpStream::connect(server.http).await.expect("it listens");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
    let mut begin = [0; 15];
    idle.read_exact(&mut begin).await.expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    let mut other = TcpStream::connect(server.http).await.expect("it listens");
    other.write_all(PREFACE).await.expect("it reads");
    let mut answer = Vec::new();
    other.read_to_end(&mut answer).await.expect("it is closed");
    assert!(!answer.starts_with(&[0, 0]), "no settings: {answer:?}");
    tokio::time::timeout(Duration::from_secs(10), server.end()).await.expect("nobody is waited for");
}
