//! A network in front of the S3 server that loses what a test wants it to lose.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of a request. The S3 server closes every connection, so a connection is one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Deliver,
    /// It arrives and is answered, but the answer is lost.
    LoseAnswer,
    /// The connection breaks before it arrives.
    Break,
    /// It never arrives, and the connection stays open.
    Hang,
    /// It never arrives, and this is the answer: a status and a body of XML.
    Answer(u16, &'static str),
}

/// Listens on a port of its own and decides over each request by its head.
pub struct Network {
    pub url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Network {
    /// `fate` is asked with the head of each request and with those that came before.
    pub fn before(upstream: &str, fate: impl Fn(&str, &[String]) -> Fate + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", upstream, fate)
    }

    /// The same on another address of this machine.
    pub fn at(address: &str, upstream: &str, fate: impl Fn(&str, &[String]) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (upstream, seen, fate) = (upstream.trim_start_matches("http://").to_owned(), heads.clone(), Arc::new(fate));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, seen, fate) = (upstream.clone(), seen.clone(), fate.clone());
                // a client that goes away in the middle is what these tests are about
                std::thread::spawn(move || carry(client, &upstream, &seen, &*fate).ok());
            }
        });
        Self { url, heads }
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Whether the request completes a multipart upload.
pub fn completes(head: &str) -> bool {
    head.starts_with("POST ") && head.lines().next().unwrap().contains("uploadId=")
}

/// Whether the request sends the second part of an upload or a later one.
pub fn sends_later_part(head: &str) -> bool {
    let line = head.lines().next().unwrap();
    line.starts_with("PUT ") && line.contains("partNumber=") && !line.contains("partNumber=1&")
}

fn carry(
    mut client: TcpStream,
    upstream: &str,
    seen: &Mutex<Vec<String>>,
    fate: &impl Fn(&str, &[String]) -> Fate,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    while !received.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let count = client.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..count]);
    }
    let head = String::from_utf8_lossy(&received).into_owned();
    let before = seen.lock().unwrap().clone();
    seen.lock().unwrap().push(head.clone());
    let fate = fate(&head, &before);
    if fate == Fate::Break {
        return client.shutdown(Shutdown::Both);
    }
    if fate == Fate::Hang {
        return copy(&mut client, &mut std::io::sink()).map(drop);
    }
    if let Fate::Answer(status, body) = fate {
        let length = body.len();
        write!(client, "HTTP/1.1 {status} Said\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n")?;
        write!(client, "connection: close\r\n\r\n{body}")?;
        // what is still on its way must not end the connection before the answer is read
        return copy(&mut client, &mut std::io::sink()).map(drop);
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&received)?;
    let (mut rest, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || copy(&mut rest, &mut to_server).ok());
    match fate {
        Fate::LoseAnswer => copy(&mut server, &mut std::io::sink())?,
        _ => copy(&mut server, &mut client)?,
    };
    client.shutdown(Shutdown::Both)
}
