//! The binary as a process: killed, limited, told to stop, watched until something is so.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Hitherto, Ran};

/// Longer than anything here takes on a slow machine; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs, with its output kept.
#[derive(Debug)]
pub(crate) struct Running {
    line: String,
    child: Child,
}

impl Hitherto {
    /// Start a command.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = self.command(line);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { line: line.to_owned(), child: child.expect("the binary can be started") }
    }

    /// The command under a limit as the shell's `ulimit` sets it: `-f` file size in blocks of 512 bytes, `-d` data in KiB.
    pub(crate) fn limited(&self, limit: &str, line: &str) -> Command {
        let plain = self.command(line);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
        command.arg(plain.get_program()).args(plain.get_args()).current_dir(self.folder()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Running {
    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_some()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kill it, unless it has ended; -1 is the code of a killed one.
    pub(crate) fn kill(mut self) -> Ran {
        self.child.kill().expect("the process can be killed");
        self.wait()
    }

    /// Wait for its end.
    pub(crate) fn wait(self) -> Ran {
        let output = self.child.wait_with_output().expect("the process can be waited for");
        Ran::of(&self.line, output)
    }
}

/// `hitherto serve` on free ports; killed if it is still there at the end of the test.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    /// The address of gRPC, as `--server` wants it.
    pub(crate) grpc: String,
    /// The address of health and metrics.
    pub(crate) http: String,
    /// The address of PostgreSQL's protocol, if it is served.
    pub(crate) postgres: Option<String>,
    /// Reads what it says later, so that it never waits for a reader.
    said: Option<std::thread::JoinHandle<String>>,
}

impl Hitherto {
    /// Start a server and wait until it says where it is.
    pub(crate) fn serve(&self, flags: &str) -> Served {
        self.serve_at("127.0.0.1:0", flags)
    }

    /// The same with variables of its environment.
    pub(crate) fn serve_with(&self, flags: &str, environment: &[(&str, &str)]) -> Served {
        self.served("127.0.0.1:0", flags, environment)
    }

    /// The same with gRPC at this address.
    pub(crate) fn serve_at(&self, listen: &str, flags: &str) -> Served {
        self.served(listen, flags, &[])
    }

    fn served(&self, listen: &str, flags: &str, environment: &[(&str, &str)]) -> Served {
        let mut command = self.command(&format!("serve --listen {listen} --http 127.0.0.1:0 {flags}"));
        command.envs(environment.iter().copied());
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        let mut before = String::new();
        let mut postgres = None;
        // gRPC on 127.0.0.1:1, health and metrics on http://127.0.0.1:2; https:// with TLS, which gRPC has too, then
        let (grpc, http) = loop {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("stderr is text"), 0, "serve ended: {before}");
            before.push_str(&line);
            // an address that stands for all of this machine's is reached at one of them
            if let Some(address) = line.trim().strip_prefix("PostgreSQL on ") {
                postgres = Some(address.replace("0.0.0.0", "127.0.0.1"));
            }
            let said = line.trim().strip_prefix("gRPC on ");
            if let Some((grpc, http)) = said.and_then(|said| said.split_once(", health and metrics on ")) {
                let (scheme, http) = http.split_once("://").expect("a URL");
                break (format!("{scheme}://{}", grpc.replace("0.0.0.0", "127.0.0.1")), http.to_owned());
            }
        };
        let said = std::thread::spawn(move || {
            let mut rest = String::new();
            lines.read_to_string(&mut rest).expect("stderr is text");
            rest
        });
        Served { child, grpc, http, postgres, said: Some(said) }
    }
}

impl Served {
    /// Status and body of a page of its HTTP address.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        self.page_with(path, "")
    }

    /// The same for whoever shows a token.
    pub(crate) fn page_as(&self, path: &str, token: &str) -> (u16, String) {
        self.page_with(path, &format!("Authorization: Bearer {token}\r\n"))
    }

    fn page_with(&self, path: &str, headers: &str) -> (u16, String) {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(&self.http).expect("it listens");
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.http);
        stream.write_all(asked.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Tell it to stop, as a supervisor does.
    pub(crate) fn terminate(&self) {
        signal("TERM", self.child.id());
    }

    /// Wait for its end: exit code and what it said after it began to listen.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("the process can be waited for");
        let said = self.said.take().expect("it is read once").join().expect("its output is read");
        (status.code(), said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Send a signal to a process of the test's own.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.expect("there is a command kill").success(), "process {pid} can be sent SIG{name}");
}

/// Ask again and again until there is an answer. What is asked takes time of its own, so nothing is paused.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}
