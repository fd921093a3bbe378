//! How a connection begins: encrypted or not, with whom, and who that is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use pgwire::messages::PgWireBackendMessage as Said;
use pgwire::messages::PgWireFrontendMessage as Asks;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, PasswordMessageFamily, Startup,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::cancel::Named;
use super::failure::{Stop, Told, state};
use super::pass::{Pass, refusal};
use super::scram::{Asked, BOUND, Failed, PLAIN};
use super::settings::Settings;
use super::wire::{Socket, Stream, Wire, wire};
use super::{DATABASE, binding};
use crate::auth::{POSTGRES, Reason, Refused};
use crate::shared::Shared;
use crate::tls::{POSTGRESQL, Tls};

/// What a packet of eight bytes asks for before a conversation begins.
const WANTS_TLS: u32 = 80_877_103;
const WANTS_GSS: u32 = 80_877_104;
/// The first byte of TLS.
const TLS_RECORD: u8 = 0x16;
/// A client asks for each of the two at most once, and is told once more.
const QUESTIONS_MAX: usize = 3;
/// The version of the protocol that is spoken: 3.0.
const PROTOCOL: i32 = 196_608;

/// Who has connected.
pub(super) enum Arrived {
    /// Somebody who wants to talk.
    Client(Box<Client>),
    /// Somebody who ends a statement of another connection, and is gone.
    Cancels(CancelRequest),
    /// Somebody who has left, or does not speak the protocol.
    Nobody,
}

/// A client that has said what it wants, and is not known yet.
pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) socket: Socket,
    pub(super) startup: Startup,
    pub(super) peer: SocketAddr,
    is_encrypted: bool,
    /// The hash of the server's certificate, where an exchange can be bound to it.
    binding: Option<Vec<u8>>,
}

/// A client that is known.
pub(super) struct Admitted {
    pub(super) pass: Pass,
    pub(super) settings: Settings,
}

/// Agrees on TLS, and reads what the client wants.
pub(super) async fn arrive(stream: TcpStream, peer: SocketAddr, tls: Option<&Tls>) -> io::Result<Arrived> {
    stream.set_nodelay(true)?;
    let mut socket = Socket::new(stream);
    let (mut wire, binding, is_encrypted) = match socket.first_byte().await? {
        None => return Ok(Arrived::Nobody),
        // TLS at once, without asking
        Some(TLS_RECORD) => {
            let Some(tls) = tls else { return Ok(Arrived::Nobody) };
            let (stream, binding) = encrypted(&socket, tls).await?;
            if stream.get_ref().1.alpn_protocol() != Some(POSTGRESQL) {
                return Ok(Arrived::Nobody);
            }
            (wire(Stream::Tls(Box::new(stream)), &[]), binding, true)
        }
        Some(_) => match asked(&mut socket, tls).await? {
            Some(begun) => begun,
            None => return Ok(Arrived::Nobody),
        },
    };
    match wire.next().await {
        Some(Ok(Asks::Startup(startup))) => {
            wire.codec_mut().started();
            Ok(Arrived::Client(Box::new(Client { wire, socket, startup, peer, is_encrypted, binding })))
        }
        Some(Ok(Asks::CancelRequest(request))) => Ok(Arrived::Cancels(request)),
        Some(Err(error)) => Err(error),
        _ => Ok(Arrived::Nobody),
    }
}

type Begun = (Wire, Option<Vec<u8>>, bool);

/// Answers what a client asks for before it begins. What it sends before it is encrypted is read by nobody afterwards.
async fn asked(socket: &mut Socket, tls: Option<&Tls>) -> io::Result<Option<Begun>> {
    for _ in 0..QUESTIONS_MAX {
        let mut packet = [0; 8];
        socket.read_exact(&mut packet).await?;
        let [.., a, b, c, d] = packet;
        match (u32::from_be_bytes([a, b, c, d]), tls) {
            (WANTS_TLS, Some(tls)) => {
                socket.write_all(b"S").await?;
                let (stream, binding) = encrypted(socket, tls).await?;
                return Ok(Some((wire(Stream::Tls(Box::new(stream)), &[]), binding, true)));
            }
            (WANTS_TLS | WANTS_GSS, _) => socket.write_all(b"N").await?,
            _ => return Ok(Some((wire(Stream::Plain(socket.clone()), &packet), None, false))),
        }
    }
    Ok(None)
}

async fn encrypted(
    socket: &Socket,
    tls: &Tls,
) -> io::Result<(tokio_rustls::server::TlsStream<Socket>, Option<Vec<u8>>)> {
    let (acceptor, certificate) = tls.with_certificate();
    let stream = acceptor.accept(socket.clone()).await?;
    Ok((stream, binding::of_certificate(&certificate)))
}

impl Client {
    /// Asks who it is, where callers show tokens, and takes what it wants of settings.
    pub(super) async fn admit(&mut self, shared: &Arc<Shared>, wants_tls: bool) -> Result<Admitted, Stop> {
        if wants_tls && !self.is_encrypted {
            drop(refusal(shared, &Refused::stranger(Reason::Handshake), Some(self.peer)));
            let told = Told::new(state::UNAUTHORIZED, "the connection is not encrypted, and must be");
            return Err(Stop::Fatal(told.with_hint("connect with sslmode=verify-full and sslrootcert")));
        }
        self.agree().await?;
        let asked = |name: &str| self.startup.parameters.get(name).map(String::as_str);
        let user = asked("user").unwrap_or_default().to_owned();
        if !matches!(asked("replication"), None | Some("false" | "off" | "no" | "0")) {
            return Err(Stop::fatal(state::NOT_SUPPORTED, "there is nothing to be replicated here"));
        }
        let database = asked("database").filter(|database| !database.is_empty()).unwrap_or(&user).to_owned();
        let pass = if shared.access.is_guarded() { self.prove(shared, &user).await? } else { Pass::open() };
        let is_known = [DATABASE, shared.engine().project().as_str(), user.as_str()].contains(&database.as_str());
        if !is_known {
            let told = Told::new(state::NO_DATABASE, format!("there is no database '{database}'"));
            return Err(Stop::Fatal(told.with_hint(format!("connect with dbname={DATABASE}"))));
        }
        let settings = self.settings(&user).map_err(fatal)?;
        Ok(Admitted { pass, settings })
    }

    /// The newer minor versions differ in nothing that is needed here: a client that asks for one is told.
    async fn agree(&mut self) -> Result<(), Stop> {
        let names = self.startup.parameters.keys();
        let options: Vec<String> = names.filter(|name| name.starts_with("_pq_.")).cloned().collect();
        if self.startup.protocol_number_minor > 0 || !options.is_empty() {
            let agreed = NegotiateProtocolVersion::new(PROTOCOL, options);
            self.wire.feed(Said::NegotiateProtocolVersion(agreed)).await?;
        }
        Ok(())
    }

    /// Has the client prove that it knows the token whose id its user name is.
    async fn prove(&mut self, shared: &Arc<Shared>, user: &str) -> Result<Pass, Stop> {
        let mut mechanisms = vec![PLAIN.to_owned()];
        if self.binding.is_some() {
            mechanisms.insert(0, BOUND.to_owned());
        }
        self.say(Authentication::SASL(mechanisms)).await?;
        let unproven = |stop: Failed, shared: &Shared, peer| {
            // counts and logs; the client learns no more than that it has not proven it
            drop(refusal(shared, &Refused::stranger(Reason::Unknown), Some(peer)));
            match stop {
                Failed::Odd(reason) => Stop::fatal(state::PROTOCOL_VIOLATION, format!("SCRAM: {reason}")),
                Failed::Unproven => {
                    let told =
                        Told::new(state::WRONG_PASSWORD, format!("password authentication failed for user \"{user}\""));
                    Stop::Fatal(told.with_hint(
                        "the user is a token's id, the twelve digits after hth_, and the password is the whole token; a \
                         token that was made before this version knew PostgreSQL cannot be used: `hitherto token create` \
                         makes another",
                    ))
                }
            }
        };
        let (mechanism, first) = initial(&self.heard().await?)?;
        let nonce = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let begun = Asked::begin(&first, &mechanism, shared.access.scram(user), self.binding.as_deref(), &nonce);
        let (asked, answer) = begun.map_err(|failed| unproven(failed, shared, self.peer))?;
        self.say(Authentication::SASLContinue(answer.into())).await?;
        let last = text(&self.heard().await?)?;
        let signature = asked.end(&last).map_err(|failed| unproven(failed, shared, self.peer))?;
        let admitted = shared.access.admit_proven(user, POSTGRES);
        let caller = admitted.map_err(|refused| refusal(shared, &refused, Some(self.peer)))?;
        self.wire.feed(Said::Authentication(Authentication::SASLFinal(signature.into()))).await?;
        Ok(Pass::of(shared, caller))
    }

    async fn say(&mut self, message: Authentication) -> Result<(), Stop> {
        Ok(self.wire.send(Said::Authentication(message)).await?)
    }

    /// What a client answers to the question who it is. psql leaves here, asks for the password, and comes again.
    async fn heard(&mut self) -> Result<Vec<u8>, Stop> {
        match self.wire.next().await {
            Some(Ok(Asks::PasswordMessageFamily(PasswordMessageFamily::Raw(bytes)))) => Ok(bytes.to_vec()),
            Some(Ok(_)) => Err(Stop::fatal(state::PROTOCOL_VIOLATION, "this is no answer to SCRAM")),
            Some(Err(error)) => Err(error.into()),
            None => Err(Stop::Gone),
        }
    }

    /// What the client wants of settings, in its startup message and in the options there.
    fn settings(&self, user: &str) -> Result<Settings, Stop> {
        let mut settings = Settings::new(user);
        let others = ["user", "database", "replication", "options"];
        let parameters = &self.startup.parameters;
        for (name, value) in parameters.iter().filter(|(name, _)| !others.contains(&name.as_str())) {
            settings.begin(name, value)?;
        }
        let mut words = parameters.get("options").map(String::as_str).unwrap_or_default().split_whitespace();
        while let Some(word) = words.next() {
            let pair = match word {
                "-c" => words.next(),
                other => other.strip_prefix("--").or_else(|| other.strip_prefix("-c")),
            };
            let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else {
                let message = format!("the option '{word}' is not understood: write -c name=value");
                return Err(Stop::refused(state::INVALID_PARAMETER, message));
            };
            settings.begin_option(name, value)?;
        }
        Ok(settings)
    }

    /// Lets the client in: what it is told first.
    pub(super) async fn welcome(&mut self, settings: &Settings, named: &Named) -> Result<(), Stop> {
        self.wire.codec_mut().known();
        self.wire.feed(Said::Authentication(Authentication::Ok)).await?;
        for (name, value) in settings.told() {
            self.wire.feed(Said::ParameterStatus(ParameterStatus::new(name.to_owned(), value))).await?;
        }
        self.wire.feed(Said::BackendKeyData(BackendKeyData::new(named.number, named.secret.clone()))).await?;
        self.wire.send(Said::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle))).await?;
        Ok(())
    }
}

/// Before a client is let in there is nothing to go on with.
fn fatal(stop: Stop) -> Stop {
    match stop {
        Stop::Refused(told) => Stop::Fatal(told),
        other => other,
    }
}

/// The mechanism that a client has chosen, and its first message.
fn initial(bytes: &[u8]) -> Result<(String, String), Stop> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let parts = end.and_then(|end| Some((&bytes[..end], bytes.get(end + 1..)?.split_first_chunk::<4>()?)));
    let Some((mechanism, (length, message))) = parts else {
        return Err(Stop::fatal(state::PROTOCOL_VIOLATION, "the answer to SCRAM ends before its parts do"));
    };
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(message.len()) {
        return Err(Stop::fatal(
            state::PROTOCOL_VIOLATION,
            "the first message of SCRAM has another length than it says",
        ));
    }
    Ok((text(mechanism)?, text(message)?))
}

fn text(bytes: &[u8]) -> Result<String, Stop> {
    let text = str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| Stop::fatal(state::PROTOCOL_VIOLATION, "a message of SCRAM is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_taken_apart() {
        let (mechanism, first) = initial(b"SCRAM-SHA-256\0\0\0\0\x05n,,n=").expect("it is whole");
        assert_eq!((mechanism.as_str(), first.as_str()), ("SCRAM-SHA-256", "n,,n="));
        for odd in [
            &b""[..],
            b"SCRAM",
            b"SCRAM\0",
            b"SCRAM\0\0\0",
            b"SCRAM\0\0\0\0\x02n",
            b"SCRAM\0\xff\xff\xff\xff",
            b"\xff\0\0\0\0\0",
        ] {
            assert!(matches!(initial(odd), Err(Stop::Fatal(_))), "{odd:?}");
        }
    }
}
