//! A gate before a server: what passes is held back at a word, until the test opens it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Forwards connections to a port of this machine.
#[derive(Debug)]
pub(crate) struct Gate {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// What is held back; nothing while there is none.
    word: Option<&'static str>,
    has_arrived: bool,
}

impl Gate {
    /// Open, before `port`. Its threads end with the test's process.
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let gate = Self { port: listener.local_addr().expect("an address").port(), state: Arc::default() };
        let state = Arc::clone(&gate.state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let state = Arc::clone(&state);
                let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                std::thread::spawn(move || forward(from, to, |bytes| hold(&state, bytes)));
                std::thread::spawn(move || forward(server, client, |_| ()));
            }
        });
        gate
    }

    /// Where to connect instead.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Hold back what comes with `word`.
    pub(crate) fn close(&self, word: &'static str) {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner) = State { word: Some(word), has_arrived: false };
    }

    /// Wait until something is held back.
    pub(crate) fn wait(&self) {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.state.1.wait_while(state, |state| !state.has_arrived));
    }

    /// Let everything pass.
    pub(crate) fn open(&self) {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).word = None;
        self.state.1.notify_all();
    }
}

fn hold((state, changed): &(Mutex<State>, Condvar), bytes: &[u8]) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(word) = state.word
        && bytes.windows(word.len()).any(|part| part == word.as_bytes())
    {
        state.has_arrived = true;
        changed.notify_all();
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, before: impl Fn(&[u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        before(&bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
