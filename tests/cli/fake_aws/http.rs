//! A server of HTTP/1.1 that can cut a connection instead of an answer, which axum cannot.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Head and body to status and body, or to nothing.
type Answer = dyn Fn(&str, &str) -> Option<(u16, String)>;

/// Serves on a port of its own until the process ends: head and body to status and body, or to nothing, which cuts.
/// Returns the URL.
pub fn serve(answer: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let answer = Arc::clone(&answer);
            // a client that goes away is its own affair
            std::thread::spawn(move || connection.and_then(|stream| once(stream, &*answer)));
        }
    });
    url
}

fn once(stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    if let Some((status, text)) = answer(&head, &String::from_utf8_lossy(&body)) {
        let head = format!(
            "HTTP/1.1 {status} Fake\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        (&stream).write_all(head.as_bytes())?;
        (&stream).write_all(text.as_bytes())?;
    }
    Ok(())
}
