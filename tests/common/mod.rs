//! What the end-to-end tests share: a server with two buckets, and the real binary.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use s3bulk_test_server::{Config, ContentHeaders, Object, Operation, Server, Store};
use serde_json::Value;
use tempfile::TempDir;

pub mod listing;
pub mod matrix;

pub const SOURCE: &str = "source-bucket";
pub const DEST: &str = "dest-bucket";

pub const MIB: u64 = 1 << 20;

/// What `--via` takes.
pub const WAYS: [&str; 2] = ["server", "client"];

/// The smallest parts, and whatever is larger than one in parts.
pub const SMALL_PARTS: [&str; 4] = ["--multipart-threshold", "5MiB", "--part-size", "5MiB"];

/// A server, and a home of its own for the binary.
pub struct World {
    pub server: Server,
    pub home: TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let server = Server::start_with(Config { record_keys: true, ..config }).unwrap();
        server.store().create_bucket(SOURCE);
        server.store().create_bucket(DEST);
        Self { server, home: tempfile::tempdir().unwrap() }
    }

    pub fn store(&self) -> &Store {
        self.server.store()
    }

    /// Fills the source with `count` objects in folders of 50, each body telling its key.
    pub fn fill(&self, count: usize) {
        for n in 0..count {
            let key = format!("in/{:04}/{n:06}.txt", n / 50);
            self.store().put(SOURCE, &key, object(&key, n));
        }
    }

    /// The binary, with credentials, without anything of the machine's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3bulk"));
        command.args(args).env_clear().stdin(Stdio::null());
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let home = self.home.path().to_str().unwrap().to_owned();
        let nothing = self.home.path().join("no-such-file").to_str().unwrap().to_owned();
        vec![
            ("AWS_ACCESS_KEY_ID", "test-key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test-secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            // One root certificate is read faster than those of the machine. Its key was thrown away.
            ("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/root.pem").to_owned()),
            ("AWS_CONFIG_FILE", nothing.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", nothing),
            ("XDG_STATE_HOME", home.clone()),
            ("HOME", home),
        ]
    }

    /// `s3bulk copy` with this server as both ends.
    pub fn copy_command(&self, args: &[&str]) -> Command {
        let endpoint = self.server.endpoint();
        let mut all = vec!["copy", "--endpoint-url", endpoint.as_str()];
        all.extend_from_slice(args);
        self.command(&all)
    }

    pub fn copy(&self, args: &[&str]) -> Ran {
        run(self.copy_command(args))
    }

    /// Copies `in/` to `out/`, with more flags; the summary is printed as JSON.
    pub fn copy_all(&self, args: &[&str]) -> Ran {
        run(self.copy_all_command(args))
    }

    /// The command that copies `in/` to `out/`.
    pub fn copy_all_command(&self, args: &[&str]) -> Command {
        let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
        let mut all = vec![from.as_str(), to.as_str(), "--json"];
        all.extend_from_slice(args);
        self.copy_command(&all)
    }

    pub fn spawn_copy_all(&self, args: &[&str]) -> Child {
        self.copy_all_command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same in the smallest parts, one way.
    pub fn copy_in_parts(&self, way: &str, args: &[&str]) -> Ran {
        self.copy_all(&[&SMALL_PARTS, &["--via", way][..], args].concat())
    }

    pub fn spawn_copy_in_parts(&self, way: &str, args: &[&str]) -> Child {
        self.spawn_copy_all(&[&SMALL_PARTS, &["--via", way][..], args].concat())
    }

    /// The destination must hold what the source holds under `in/`, and nothing else under `out/`.
    pub fn assert_copied(&self) {
        assert_same(&self.under(SOURCE, "in/"), &self.under(DEST, "out/"));
    }

    pub fn under(&self, bucket: &str, prefix: &str) -> BTreeMap<String, Arc<Object>> {
        let objects = self.store().objects(bucket);
        objects.into_iter().filter_map(|(key, object)| Some((key.strip_prefix(prefix)?.to_owned(), object))).collect()
    }

    /// How often each destination key was written.
    pub fn writes(&self) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for (operation, key) in self.server.log() {
            if matches!(operation, Operation::CopyObject | Operation::PutObject) {
                *writes.entry(key).or_default() += 1;
            }
        }
        writes
    }

    pub fn written(&self) -> u64 {
        self.server.completed(Operation::CopyObject) + self.server.completed(Operation::PutObject)
    }

    /// Waits until so many objects were written.
    pub fn wait_for_writes(&self, count: u64) {
        wait_until(|| self.written() >= count);
    }

    /// How many requests to write parts came in.
    pub fn part_requests(&self) -> u64 {
        self.server.requests(Operation::UploadPart) + self.server.requests(Operation::UploadPartCopy)
    }

    /// How many parts were written.
    pub fn parts(&self) -> u64 {
        self.server.completed(Operation::UploadPart) + self.server.completed(Operation::UploadPartCopy)
    }

    /// Waits until so many parts were written.
    pub fn wait_for_parts(&self, count: u64) {
        wait_until(|| self.parts() >= count);
    }

    /// The ids of the uploads that are open at the destination, in order.
    pub fn open_uploads(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.store().open_uploads(DEST).into_iter().map(|(_, id)| id).collect();
        ids.sort();
        ids
    }

    #[track_caller]
    pub fn assert_none_open(&self) {
        assert_eq!(self.store().open_uploads(DEST), []);
    }

    /// The ids of the uploads that the checkpoint names, in order.
    pub fn named_uploads(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.checkpoint()).unwrap();
        let mut open: BTreeMap<String, Option<String>> = BTreeMap::new();
        for line in text.lines() {
            // The last one may be torn.
            let Ok(record) = serde_json::from_str::<Value>(line) else { break };
            let item = |record: &Value| format!("{} {}", record["source"], record["at"]);
            let upload = |record: &Value| record["upload"]["upload_id"].as_str().map(str::to_owned);
            for parked in record["open"].as_array().into_iter().flatten() {
                open.insert(item(parked), upload(parked));
            }
            match record["t"].as_str().unwrap() {
                "open" => drop(open.insert(item(&record), upload(&record))),
                "close" => drop(open.remove(&item(&record))),
                _ => {}
            }
        }
        let mut ids: Vec<String> = open.into_values().flatten().collect();
        ids.sort();
        ids
    }

    /// Aborts an upload at the destination, as another client would.
    pub fn abort(&self, key: &str, id: &str) {
        use std::io::{Read as _, Write as _};
        let address = self.server.endpoint().replace("http://", "");
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        let request = format!(
            "DELETE /{DEST}/{key}?uploadId={id} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: \
             close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    /// The one checkpoint in the default place.
    pub fn checkpoint(&self) -> PathBuf {
        let folder = self.home.path().join("s3bulk");
        let mut found: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| {
            let name = path.to_str().unwrap();
            name.ends_with(".jsonl") && !name.ends_with(".failures.jsonl")
        });
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn count(&self, field: &str) -> u64 {
        self.json()[field].as_u64().unwrap_or_else(|| panic!("no count {field} in {self:?}"))
    }

    /// A count that is left out where it is nothing.
    pub fn count_or_none(&self, field: &str) -> u64 {
        self.json()[field].as_u64().unwrap_or(0)
    }

    /// How many objects are known to be right by this kind of evidence.
    pub fn verified(&self, kind: &str) -> u64 {
        self.json()["verified"][kind].as_u64().unwrap_or(0)
    }

    /// How many lines of stderr hold this.
    pub fn said(&self, what: &str) -> usize {
        self.stderr.lines().filter(|line| line.contains(what)).count()
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// The counts of a summary must add up.
    #[track_caller]
    pub fn expect_sums(self) -> Self {
        let sum = |fields: &[&str]| fields.iter().map(|field| self.count(field)).sum::<u64>();
        assert_eq!(self.count("listed"), sum(&["filtered", "selected"]), "{self:?}");
        assert_eq!(self.count("selected"), sum(&["done", "skipped", "failed", "pending"]), "{self:?}");
        self
    }
}

/// What becomes of a write to a file that would grow past its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It fails, as on a full disk.
    Fails,
    /// It is the last thing that the process does.
    Kills,
}

/// The same command, where no file may have more than so many blocks of 512 bytes.
pub fn limited(command: &Command, blocks: u64, past: Past) -> Command {
    let trap = if past == Past::Fails { "trap '' XFSZ; " } else { "ulimit -c 0; " };
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -f {blocks}; {trap}exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

pub fn run(mut command: Command) -> Ran {
    ran(command.output().unwrap())
}

/// Waits for the end of a run.
pub fn end(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

/// Kills a run as `kill -9` does.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends a signal, such as `-INT`.
pub fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// An object whose body, headers, metadata and tags tell its key and number.
pub fn object(key: &str, n: usize) -> Object {
    let object = Object::new(format!("{key} {n}").into_bytes());
    match n % 4 {
        0 => object.content_type("text/plain").metadata("number", n.to_string()),
        1 => object.tag("number", n.to_string()),
        _ => object,
    }
}

#[track_caller]
pub fn assert_same(source: &BTreeMap<String, Arc<Object>>, dest: &BTreeMap<String, Arc<Object>>) {
    let missing: Vec<_> = source.keys().filter(|key| !dest.contains_key(*key)).take(5).collect();
    assert!(missing.is_empty(), "not copied: {missing:?}");
    let extra: Vec<_> = dest.keys().filter(|key| !source.contains_key(*key)).take(5).collect();
    assert!(extra.is_empty(), "out of nowhere: {extra:?}");
    for (key, from) in source {
        let to = &dest[key];
        assert!(from.has_bytes_of(to), "{key:?} has other bytes");
        assert_eq!(headers(from), headers(to), "{key:?}");
        assert_eq!(from.metadata, to.metadata, "{key:?}");
        assert_eq!(from.tags, to.tags, "{key:?}");
    }
}

/// An object that was written without a content type is served as S3 serves it.
fn headers(object: &Object) -> ContentHeaders {
    let mut headers = object.headers.clone();
    headers.content_type.get_or_insert("binary/octet-stream".to_owned());
    headers
}

/// Numbers that look random and repeat with their seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

pub fn wait_until(mut met: impl FnMut() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}
