//! `get --service-url`: a sidecar without Kubernetes, and the faults that only a sidecar of old has.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox};
use crate::servers::snapshot;

const NAME: &str = "3.1.0_000000000000000f_etcd.backup";

/// Says what etcd-operator's sidecar would, one request a connection, and remembers what it was sent.
struct Old {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Old {
    fn that(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                let answer = answer(&request);
                seen.lock().unwrap().push(request);
                // a client that had enough is no fault
                let _ = stream.write_all(&answer);
            }
        });
        Self { url, requests }
    }

    fn run(&self, more: &str) -> (Sandbox, Output) {
        let sandbox = Sandbox::new();
        sandbox.write("token", "t0ken-of-this-test\n");
        let output = sandbox.run(&format!("get --service-url {} {more}", self.url));
        (sandbox, output)
    }

    fn shown(&self, output: &Output) -> String {
        output.to_string().replace(&self.url, "http://sidecar")
    }
}

fn request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Headers as Go writes them, and a chunked body.
fn old(request: &str, version: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nX-Etcd-Version: {version}\r\nX-Revision: 15\r\n");
    if request.starts_with("HEAD") {
        return format!("{head}\r\n").into_bytes();
    }
    let mut answer = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(1500) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

fn refused(status: &str, text: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    let names =
        std::fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "token").collect();
    names.sort();
    names
}

#[test]
fn an_old_sidecar_needs_neither_kubernetes_nor_a_cluster() {
    let server = Old::that(|request| old(request, "3.1.0", &snapshot(8, 1)));
    let (sandbox, output) = server.run("");
    assert_snapshot!(server.shown(&output));
    assert_eq!(std::fs::read(sandbox.path().join(NAME)).unwrap(), snapshot(8, 1));
    assert!(!server.requests.lock().unwrap().iter().any(|request| request.contains("authorization")));
}

#[test]
fn a_token_is_read_from_a_file_and_shown_nowhere() {
    let server = Old::that(|request| match request.contains("authorization: Bearer t0ken-of-this-test\r\n") {
        true => old(request, "3.1.0", &snapshot(8, 1)),
        false => refused("401 Unauthorized", "who are you?\n"),
    });
    let (_, output) = server.run("--token-file token -v 9");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(!output.to_string().contains("t0ken"), "{output}");
    let (sandbox, denied) = server.run("etcd-a -n databases");
    assert_eq!((denied.code, files(&sandbox)), (Some(5), vec![]), "{denied}");
    assert_snapshot!(server.shown(&denied));
    let mut child = sandbox
        .command(&["get", "--service-url", &server.url, "--token-file", "-", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"t0ken-of-this-test\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_polite_short_end_is_exit_4_and_a_cut_chunk_exit_1_and_neither_leaves_a_file() {
    let mut cut = old("GET", "3.1.0", &snapshot(8, 1));
    cut.truncate(2000);
    let server =
        Old::that(move |request| if request.starts_with("HEAD") { old(request, "3.1.0", b"") } else { cut.clone() });
    let (sandbox, output) = server.run("");
    assert_eq!((output.code, files(&sandbox)), (Some(1), vec![]), "{output}");
    assert_snapshot!("cut_chunk", server.shown(&output));
    let polite: [(&str, usize, i32); 3] =
        [("polite_end", 3000, 4), ("polite_end_at_a_block", 2592, 4), ("nothing", 0, 4)];
    for (name, bytes, code) in polite {
        let server = Old::that(move |request| old(request, "3.1.0", &snapshot(8, 1)[..bytes]));
        let (sandbox, output) = server.run("");
        assert_eq!((output.code, files(&sandbox)), (Some(code), vec![]), "{name}: {output}");
        assert_snapshot!(name, server.shown(&output));
    }
}

#[test]
fn a_body_that_stalls_is_begun_again() {
    let (listener, asked) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (url, seen) = (format!("http://{}", listener.local_addr().unwrap()), asked.clone());
    std::thread::spawn(move || {
        let mut stalled = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let head = request(&mut stream);
            let answer = old(&head, "3.1.0", &snapshot(8, 1));
            let first =
                head.starts_with("GET") && !seen.lock().unwrap().iter().any(|head: &String| head.starts_with("GET"));
            seen.lock().unwrap().push(head);
            if first {
                stream.write_all(&answer[..2000]).unwrap();
                stalled.push(stream);
            } else {
                stream.write_all(&answer).unwrap();
            }
        }
    });
    let sandbox = Sandbox::new();
    let output = sandbox.run(&format!("get --service-url {url} --stall-timeout 3s"));
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(std::fs::read(sandbox.path().join(NAME)).unwrap(), snapshot(8, 1));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn every_refusal_of_old_has_its_exit_code_and_a_way_on() {
    let cases = [
        ("none_stored", "404 Not Found", "404 page not found\n", 3),
        ("unlisted", "500 Internal Server Error", "failed to list s3 bucket: AccessDenied\n", 1),
        ("bad_name", "500 Internal Server Error", "fail to parse etcd version from file (x_1_etcd.backup): x\n", 1),
        ("timeout", "408 Request Timeout", "timeout\n", 6),
        ("redirect", "302 Found\r\nLocation: http://elsewhere.example.com/", "", 1),
    ];
    for (name, status, text, code) in cases {
        let server = Old::that(move |_| refused(status, text));
        let (_, output) = server.run("");
        assert_eq!(output.code, Some(code), "{name}: {output}");
        assert_snapshot!(name, server.shown(&output));
    }
    let panicked = Old::that(|_| Vec::new());
    assert_eq!(panicked.run("").1.code, Some(1));
}

#[test]
fn an_etcd_that_an_old_sidecar_cannot_know_is_judged_here() {
    let server = Old::that(|request| old(request, "3.5.21", &snapshot(8, 1)));
    let (_, output) = server.run("--etcd-version 3.6.1");
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("judged_here", server.shown(&output));
    let (sandbox, output) = server.run("--etcd-version 3.7.0");
    assert_eq!((output.code, files(&sandbox)), (Some(1), vec![]), "{output}");
    assert_snapshot!("judged_unsuitable", server.shown(&output));
    assert!(!server.requests.lock().unwrap().iter().any(|request| request.contains("etcdVersion")));
    let (sandbox, output) = server.run("-o json -q");
    assert_eq!((output.code, files(&sandbox)), (Some(0), vec![]), "{output}");
    assert_snapshot!("selection", server.shown(&output));
}

#[test]
fn an_interrupted_download_says_that_there_is_no_file() {
    let (sent, begun) = std::sync::mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let accepted = |listener: &TcpListener| -> TcpStream { listener.accept().unwrap().0 };
        let mut head = accepted(&listener);
        let answer = old(&request(&mut head), "3.1.0", b"");
        head.write_all(&answer).unwrap();
        drop(head);
        let mut body = accepted(&listener);
        let answer = old(&request(&mut body), "3.1.0", &snapshot(8, 1));
        body.write_all(&answer[..2000]).unwrap();
        sent.send(()).unwrap();
        std::thread::park();
    });
    let sandbox = Sandbox::new();
    let child =
        sandbox.command(&["get", "--service-url", &url]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    begun.recv().unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), files(&sandbox)), (Some(130), vec![]), "{stderr}");
    assert!(stderr.ends_with("error: interrupted\nhint: no file was written; run it again\n"), "{stderr}");
}

/// A certificate for 127.0.0.1, and its key, made by openssl in the sandbox.
pub fn certificate(sandbox: &Sandbox) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sidecar \
                   -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out ca.pem";
    let made = Command::new("openssl").args(request.split_whitespace()).current_dir(sandbox.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(sandbox.path().join("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(sandbox.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
}

#[test]
fn https_is_checked_against_the_bundle_that_is_named() {
    let sandbox = Sandbox::new();
    let config = Arc::new(certificate(&sandbox));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/etcd-a", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let request = request(&mut stream);
            if request.contains(" /etcd-a/v1/backup ") {
                stream.write_all(&old(&request, "3.1.0", &snapshot(8, 1))).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    let trusted = sandbox.run(&format!("get --service-url {url} --ca-bundle ca.pem -O out -q"));
    assert_eq!(trusted.code, Some(0), "{trusted}");
    assert_eq!(std::fs::read(sandbox.path().join("out")).unwrap(), snapshot(8, 1));
    let stranger = sandbox.run(&format!("get --service-url {url} -O other"));
    assert_eq!(stranger.code, Some(1), "{stranger}");
    assert!(stranger.stderr.contains("hint: pass --ca-bundle"), "{stranger}");
}
