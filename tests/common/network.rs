//! What stands between a client and its server: a proxy that remembers what it was asked, and TLS
//! with an authority of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};

/// A proxy as of RFC 9110: CONNECT, and requests with a whole URL.
pub struct Proxy {
    pub address: String,
    /// The heads of the first requests of all connections.
    heads: Arc<Mutex<Vec<String>>>,
    /// All that clients sent through it.
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy =
            Self { address: listener.local_addr().unwrap().to_string(), heads: Arc::default(), sent: Arc::default() };
        let (heads, sent) = (Arc::clone(&proxy.heads), Arc::clone(&proxy.sent));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (heads, sent) = (Arc::clone(&heads), Arc::clone(&sent));
                thread::spawn(move || serve(client.unwrap(), &heads, &sent));
            }
        });
        proxy
    }

    /// No proxy at all: a server that refuses everything, and repeats what it was sent.
    pub fn echo() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(client.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let sent = head.replace(['<', '&'], " ").replace("\r\n", " ");
                let body = format!("<Error><Code>InvalidArgument</Code><Message>you sent: {sent}</Message></Error>");
                let _ = write!(
                    client,
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { address, heads: Arc::default(), sent: Arc::default() }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The values of a header in all that was sent in plain text.
    pub fn values(&self, header: &str) -> Vec<String> {
        let sent = String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned();
        let lines = sent.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(name, _)| name.eq_ignore_ascii_case(header)).map(|(_, value)| value.to_owned()).collect()
    }
}

fn serve(client: TcpStream, heads: &Mutex<Vec<String>>, sent: &Arc<Mutex<Vec<u8>>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    heads.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap();
    let tunnel = head.starts_with("CONNECT ");
    let host = target.strip_prefix("http://").unwrap_or(target).split('/').next().unwrap();
    // Nowhere else.
    if !host.starts_with("127.0.0.1:") {
        return;
    }
    let Ok(mut server) = TcpStream::connect(host) else { return };
    let mut answers = server.try_clone().unwrap();
    let mut to_client = client;
    if tunnel {
        to_client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        sent.lock().unwrap().extend_from_slice(head.as_bytes());
        server.write_all(head.as_bytes()).unwrap();
    }
    let sent = Arc::clone(sent);
    let asking = thread::spawn(move || {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            sent.lock().unwrap().extend_from_slice(&piece[..length]);
            if server.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut answers, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    asking.join().unwrap();
}

/// TLS in front of a server that has none, with a certificate of an authority that nobody knows.
pub struct Tls {
    /// Without the scheme.
    pub address: String,
    /// The authority's certificate.
    pub authority: String,
}

impl Tls {
    pub fn before(endpoint: &str) -> Self {
        let (authority, config) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = endpoint.strip_prefix("http://").unwrap().to_owned();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let (acceptor, server) = (acceptor.clone(), server.clone());
                    tokio::spawn(async move {
                        let Ok(mut client) = acceptor.accept(client).await else { return };
                        let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    });
                }
            });
        });
        Self { address, authority }
    }

    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A file with the authority's certificate.
    pub fn bundle(&self, folder: &std::path::Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, &self.authority).unwrap();
        path
    }
}

fn certificates() -> (String, ServerConfig) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (pem, config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}
