//! A line before the API server that does to connections what networks do. TLS goes through it unread.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use crate::cluster::Namespace;

/// What the line does with a connection that is in the middle of what it brings.
#[derive(Clone)]
pub enum Then {
    /// It ends without a word.
    Cut,
    /// And from then on nobody is let in.
    CutForEver,
    /// So many end, each at another byte.
    CutSome(usize),
    /// It stands still: the first barrier tells that it does, the second lets it go on.
    Hold([Arc<Barrier>; 2]),
}

/// Two barriers between a test and a line.
pub fn barriers() -> [Arc<Barrier>; 2] {
    [(); 2].map(|()| Arc::new(Barrier::new(2)))
}

/// The line.
pub struct Wire {
    url: String,
    host: String,
    middles: Arc<AtomicUsize>,
}

impl Wire {
    /// A line on which connections that have brought `middle` bytes to the client meet `then`; where it cuts some, at
    /// any byte from 64 KiB to there.
    pub fn before(namespace: &Namespace, middle: usize, then: Then) -> Self {
        let config = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
        let server = namespace.kubectl(&config).trim().trim_start_matches("https://").to_owned();
        let host = server.split(':').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let middles = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&middles);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if matches!(then, Then::CutForEver) && seen.load(Ordering::SeqCst) > 0 {
                    continue;
                }
                let middle = match then {
                    Then::CutSome(_) => fastrand::usize(1 << 16..middle),
                    _ => middle,
                };
                let (then, seen, upstream) = (then.clone(), Arc::clone(&seen), TcpStream::connect(&server).unwrap());
                std::thread::spawn(move || carry(&client.unwrap(), &upstream, middle, &then, &seen));
            }
        });
        Self { url, host, middles }
    }

    /// The flags that lead over it.
    pub fn flags(&self) -> String {
        format!("--server {} --tls-server-name {}", self.url, self.host)
    }

    /// Connections that came to the middle.
    pub fn middles(&self) -> usize {
        self.middles.load(Ordering::SeqCst)
    }
}

fn carry(client: &TcpStream, server: &TcpStream, middle: usize, then: &Then, middles: &AtomicUsize) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        // either end may go away first
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut server, mut client, mut came) = (server, client, 0);
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = server.read(&mut chunk) {
        let before = came;
        came += count;
        if client.write_all(&chunk[..count]).is_err() {
            break;
        }
        if before >= middle || came < middle {
            continue;
        }
        match (then, middles.fetch_add(1, Ordering::SeqCst)) {
            (Then::Cut | Then::CutForEver, 0) => break,
            (Then::CutSome(most), nth) if nth < *most => break,
            (Then::Hold([held, go_on]), 0) => {
                held.wait();
                go_on.wait();
            }
            _ => {}
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
