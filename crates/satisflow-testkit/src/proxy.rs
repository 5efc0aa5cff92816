//! An HTTP proxy that fails when it is told to: in front of an S3 server it
//! makes every fault that a store can show its client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered by 503 and goes no further.
    Throttle,
    /// The connection ends before it is passed on.
    Drop,
    /// It is carried out, and the connection ends before the answer.
    LoseReply,
    /// It is carried out, and the answer says 503.
    Misreport,
    /// It is passed on after this time, whether the client still waits or not.
    Delay(Duration),
}

#[derive(Debug)]
struct Rule {
    method: &'static str,
    path_part: String,
    fault: Fault,
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    hits: usize,
    requests: usize,
}

/// A running proxy; it ends with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct Request {
    head: String,
    body: Vec<u8>,
}

const THROTTLED: &str =
    "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>";
const IO_LIMIT: Duration = Duration::from_secs(120);

impl Proxy {
    /// Starts before a server.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(upstream: String) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, state) = (listener.local_addr()?.port(), Arc::new(Mutex::new(State::default())));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (upstream, state) = (upstream.clone(), Arc::clone(&shared));
                // A client that goes away is its own affair.
                std::thread::spawn(move || drop(serve(&stream, &upstream, &state)));
            }
        });
        Ok(Proxy { port, state })
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The next `times` requests of a method whose path has a part get a fault.
    pub fn inject(&self, method: &'static str, path_part: &str, fault: Fault, times: usize) {
        lock(&self.state).rules.push(Rule { method, path_part: path_part.to_owned(), fault, left: times });
    }

    /// Takes back the faults that have not come yet.
    pub fn clear(&self) {
        lock(&self.state).rules.clear();
    }

    /// Faults that are yet to come.
    pub fn faults_left(&self) -> usize {
        lock(&self.state).rules.iter().map(|rule| rule.left).sum()
    }

    /// Requests that got a fault.
    pub fn hits(&self) -> usize {
        lock(&self.state).hits
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        lock(&self.state).requests
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault_of(request: &Request, state: &Mutex<State>) -> Option<Fault> {
    let mut words = request.head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut state = lock(state);
    state.requests += 1;
    let is_meant = |rule: &&mut Rule| rule.left > 0 && rule.method == method && path.contains(&rule.path_part);
    let rule = state.rules.iter_mut().find(is_meant)?;
    rule.left -= 1;
    let fault = rule.fault;
    state.hits += 1;
    Some(fault)
}

/// One request for each connection: the answers say `Connection: close`.
fn serve(client: &TcpStream, upstream: &str, state: &Mutex<State>) -> Result<()> {
    client.set_read_timeout(Some(IO_LIMIT))?;
    let request = read_request(client)?;
    let answer = match fault_of(&request, state) {
        None => forward(&request, upstream)?,
        Some(Fault::Throttle) => throttled(),
        Some(Fault::Drop) => return Ok(client.shutdown(Shutdown::Both)?),
        Some(Fault::LoseReply) => {
            forward(&request, upstream)?;
            return Ok(client.shutdown(Shutdown::Both)?);
        }
        Some(Fault::Misreport) => {
            forward(&request, upstream)?;
            throttled()
        }
        Some(Fault::Delay(time)) => {
            std::thread::sleep(time);
            forward(&request, upstream)?
        }
    };
    let mut out = client;
    out.write_all(&answer)?;
    Ok(client.shutdown(Shutdown::Write)?)
}

fn throttled() -> Vec<u8> {
    let length = THROTTLED.len();
    format!(
        "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{THROTTLED}"
    )
    .into_bytes()
}

fn read_request(client: &TcpStream) -> Result<Request> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        anyhow::ensure!(reader.read_line(&mut head)? > 0, "the client has gone");
        let line = head[start..].trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context("Content-Length")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { head, body })
}

/// Carries a request out and gives the whole answer.
fn forward(request: &Request, upstream: &str) -> Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(IO_LIMIT))?;
    // The head ends with an empty line; one more header goes before it.
    let head = request.head.trim_end();
    write!(server, "{head}\r\nConnection: close\r\n\r\n")?;
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}
