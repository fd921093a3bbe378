//! A redis-server for tests: started on a free port, without persistence unless asked for, stopped on drop.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running redis-server that belongs to the test.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Panics
    /// When redis-server is not installed, or does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("could not make a folder for redis-server");
        // another process may take the port between our look and the server's
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let port = free.expect("could not find a free port").port();
            if let Some(child) = spawn(folder.path(), port) {
                return Self { folder, port, child: Some(child) };
            }
        }
        panic!("could not start redis-server on any port");
    }

    /// Its url.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it. What it had not saved is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it, if it runs, and starts it again on the same port, with what was saved by `SAVE`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.child = Some(spawn(self.folder.path(), self.port).expect("could not start redis-server again"));
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server that accepts connections, or none if it gave up.
fn spawn(folder: &Path, port: u16) -> Option<Child> {
    let spawned = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("redis-server is not installed: apt-get install redis-server")
        }
        Err(error) => panic!("could not start redis-server: {error}"),
    };
    let mut lines = BufReader::new(child.stdout.take()?).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // what it says later must go somewhere
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
