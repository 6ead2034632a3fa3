//! The server itself: threads with a runtime of their own, and a listener.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::{Account, Config};
use crate::connection::{Connection, ResetSwitch};
use crate::counters::{Asked, Listings};
use crate::faults::Faults;
use crate::http::Front;
use crate::operation::Operation;
use crate::s3::{Accounts, Calls, Listing};
use crate::store::Store;

/// Few, for there are as many servers as tests.
const THREADS: usize = 2;

/// A running server; dropping it stops it and closes its connections.
///
/// It has threads and a runtime of its own, so that tests with and without a runtime can use it.
pub struct Server {
    address: SocketAddr,
    front: Arc<Front>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server with the default configuration.
    ///
    /// # Errors
    /// Where no port, thread or runtime is to be had.
    pub fn start() -> io::Result<Server> {
        Server::start_with(Config::default())
    }

    /// Starts a server.
    ///
    /// # Errors
    /// Where the port is taken, or no thread or runtime is to be had.
    pub fn start_with(config: Config) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let store = Store::with(&config);
        let service = s3_service(&store, &config);
        let front = Arc::new(Front::new(store, service, config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&front);
        let thread = std::thread::Builder::new().name("s3-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, served) => {}
                    // Told to stop, or its handle is gone: both are the end.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Server { address, front, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, such as `http://127.0.0.1:41234`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds, to seed and to inspect.
    pub fn store(&self) -> &Store {
        &self.front.store
    }

    /// Its faults, to inject and to clear.
    pub fn faults(&self) -> &Faults {
        &self.front.faults
    }

    /// How many requests of this operation came in, those that met a fault included.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.front.counters.requests(operation)
    }

    /// How many requests of this operation the store did with success, those included whose
    /// answer a fault kept from the client.
    pub fn completed(&self, operation: Operation) -> u64 {
        self.front.counters.completed(operation)
    }

    /// The requests of ListObjectsV2 by what they asked for.
    pub fn listings(&self) -> Listings {
        self.front.counters.listings()
    }

    /// When the requests of this operation came in, counted from the start of the server; empty
    /// unless [`Config::record_keys`] is set.
    pub fn arrivals(&self, operation: Operation) -> Vec<Duration> {
        self.front.counters.arrivals(operation)
    }

    /// What was asked for, each once, that which met a fault included; empty unless
    /// [`Config::record_keys`] is set.
    pub fn asked(&self) -> BTreeSet<Asked> {
        self.front.counters.asked()
    }

    /// The completed writes in order, each with `bucket/key`; empty unless
    /// [`Config::record_keys`] is set.
    pub fn log(&self) -> Vec<(Operation, String)> {
        self.front.counters.log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

fn s3_service(store: &Store, config: &Config) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Calls::new(store.clone(), config));
    builder.set_route(Listing::new(store.clone(), config));
    if !config.accounts.is_empty() {
        let accounts: &[Account] = &config.accounts;
        builder.set_auth(Accounts::new(accounts));
    }
    builder.build()
}

/// Serves connections for ever. A drop closes them all.
async fn accept(listener: TcpListener, front: Arc<Front>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot listen");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it answers are only slower.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, Arc::clone(&front)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: some come back as connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, front: Arc<Front>) {
    let switch = ResetSwitch::default();
    let io = TokioIo::new(Connection::new(stream, switch.clone()));
    let service = service_fn(move |request| {
        let (front, switch) = (Arc::clone(&front), switch.clone());
        async move { front.answer(request, &switch).await }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
