//! A receiver of webhooks that answers as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satisflow_testkit::wait_for;
use serde_json::Value;

use crate::place::LIMIT;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// It takes the request and says nothing.
    Silence,
}

/// A request, and what was done with it.
#[derive(Debug)]
pub struct Told {
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub answer: Answer,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn key(&self) -> &str {
        &self.headers["idempotency-key"]
    }
}

/// Listens until the test ends.
pub struct Listening {
    pub port: u16,
    told: Receiver<Told>,
    answers: Arc<Mutex<(VecDeque<Answer>, Answer)>>,
}

impl Listening {
    pub fn start() -> Listening {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, told) = channel();
        let answers = Arc::new(Mutex::new((VecDeque::new(), Answer::Status(204))));
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                std::thread::spawn(move || take(socket.unwrap(), &shared, &sender));
            }
        });
        Listening { port, told, answers }
    }

    /// The next requests are answered so, and all others after them.
    pub fn answer(&self, next: &[Answer], then: Answer) {
        *self.answers.lock().unwrap() = (next.iter().copied().collect(), then);
    }

    pub fn next(&self) -> Told {
        self.told.recv_timeout(LIMIT).unwrap()
    }

    pub fn next_with(&self, answer: Answer) -> Told {
        wait_for("a request with that answer", LIMIT, || Some(self.next()).filter(|told| told.answer == answer))
            .unwrap()
    }

    pub fn is_quiet(&self) -> bool {
        self.told.try_recv().is_err()
    }
}

/// One request a connection.
fn take(socket: TcpStream, answers: &Mutex<(VecDeque<Answer>, Answer)>, told: &Sender<Told>) {
    let mut reader = BufReader::new(socket);
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        line.clear();
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let answer = {
        let (next, then) = &mut *answers.lock().unwrap();
        next.pop_front().unwrap_or(*then)
    };
    if let Answer::Status(status) = answer {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        // A sender that was killed does not read it.
        let _ = reader.get_mut().write_all(head.as_bytes());
    }
    let silent = answer == Answer::Silence;
    let _ = told.send(Told { headers, body: String::from_utf8(body).unwrap(), answer });
    if silent {
        // The sender gives up and closes.
        reader.get_ref().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = reader.read(&mut [0]);
    }
}
