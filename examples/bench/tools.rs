//! The tools that are measured, and how each is called: with what makes it fast, and still right.
//!
//! All that can be are called for 256 requests at once. Nothing of the user's configuration gets into them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::Outcome;
use crate::workload::{DEST, SOURCE, Workload};

/// As many requests at once as all tools are called for.
const AT_ONCE: &str = "256";
const KEY: &str = "bench";
const REGION: &str = "us-east-1";

/// Which tool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    S3bulk,
    S5cmd,
    Rclone,
    S3sync,
    Aws,
}

impl Kind {
    /// How it is asked for its version.
    fn version(self) -> &'static str {
        if self == Kind::S5cmd { "version" } else { "--version" }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", PossibleValue::get_name))
    }
}

/// A tool that is there.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) kind: Kind,
    /// What it says of itself, such as `rclone 1.75.2`.
    pub(crate) version: String,
    pub(crate) binary: PathBuf,
    /// The words before the binary: of what it runs under.
    wrapper: Vec<String>,
}

/// Where a run takes place.
pub(crate) struct Place<'a> {
    /// The endpoint that is read.
    pub(crate) source: &'a str,
    /// The endpoint that is written.
    pub(crate) dest: &'a str,
    /// An empty folder.
    pub(crate) home: &'a Path,
}

impl Tool {
    /// The binary that is measured, and the peers on `PATH` that run; of all these only the `wanted`, where
    /// any are named.
    pub(crate) fn found(s3bulk: &Path, wanted: &[Kind]) -> Outcome<Vec<Tool>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut tools = Vec::new();
        for kind in Kind::value_variants().iter().copied().filter(|kind| wanted.is_empty() || wanted.contains(kind)) {
            let binary = match kind {
                Kind::S3bulk => Some(s3bulk.to_path_buf()),
                _ => std::env::split_paths(&path).map(|dir| dir.join(kind.to_string())).find(|file| file.is_file()),
            };
            let Some(binary) = binary.map(|binary| beneath(kind, binary)) else {
                eprintln!("{kind} is not on PATH");
                continue;
            };
            match Tool::at(kind, binary) {
                Ok(tool) => tools.push(tool),
                Err(error) if kind == Kind::S3bulk => return Err(error),
                Err(error) => eprintln!("{error}: it is left out"),
            }
        }
        Ok(tools)
    }

    /// The tool of which this is the binary; asks it for its version.
    pub(crate) fn at(kind: Kind, binary: PathBuf) -> Outcome<Tool> {
        let version = version(kind, &said(&binary, kind.version())?);
        Ok(Tool { kind, version, binary, wrapper: Vec::new() })
    }

    /// The same, run by another program with these words before its own.
    pub(crate) fn under(&self, wrapper: &[&str]) -> Tool {
        Tool { wrapper: wrapper.iter().copied().map(str::to_owned).collect(), ..self.clone() }
    }

    /// Whether it has a way to do this.
    pub(crate) fn can(&self, workload: Workload) -> bool {
        match self.kind {
            Kind::S3bulk | Kind::Rclone => true,
            Kind::S5cmd | Kind::Aws => !workload.has_two_ends(),
            Kind::S3sync => workload != Workload::List,
        }
    }

    /// The whole command.
    pub(crate) fn command(&self, workload: Workload, place: &Place<'_>) -> Outcome<Command> {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&self.binary),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(&self.binary);
                command
            }
        };
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let config = place.home.join("aws-config");
        std::fs::write(
            &config,
            format!("[default]\ns3 =\n  max_concurrent_requests = {AT_ONCE}\n  max_queue_size = 10000\n"),
        )?;
        command
            .env("HOME", place.home)
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", KEY)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", config);
        match (workload, self.kind) {
            (Workload::Start, kind) => {
                command.arg(kind.version());
            }
            (_, Kind::S3bulk) => s3bulk(&mut command, workload, place),
            (_, Kind::S5cmd) => s5cmd(&mut command, workload, place),
            (_, Kind::Rclone) => rclone(&mut command, workload, place),
            (_, Kind::S3sync) => s3sync(&mut command, workload, place),
            (_, Kind::Aws) => aws(&mut command, workload, place),
        }
        Ok(command)
    }
}

/// What a program answers to this argument.
pub(crate) fn said(program: &Path, argument: &str) -> Outcome<String> {
    let does_not = |why: &dyn fmt::Display| format!("{} does not run: {why}", program.display());
    let said = Command::new(program).arg(argument).output().map_err(|error| does_not(&error))?;
    if !said.status.success() {
        return Err(does_not(&said.status).into());
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// The name and version in the first line of what it says, such as `v2.3.0-991c9fb` or
/// `aws-cli/1.45.11 Python/3.11.7`.
fn version(kind: Kind, said: &str) -> String {
    let mut words = said.lines().next().unwrap_or_default().split([' ', '/']);
    let first = words.next().unwrap_or_default();
    let number = if first.starts_with(&kind.to_string()) { words.next().unwrap_or_default() } else { first };
    format!("{kind} {}", number.trim_start_matches('v').split('-').next().unwrap_or_default())
}

/// The program itself where a Python package starts it through a script, as that of s5cmd does: what the
/// script takes is not the tool's.
fn beneath(kind: Kind, found: PathBuf) -> PathBuf {
    let name = kind.to_string();
    let within = Path::new("site-packages").join(&name).join("bin").join(&name);
    let folder = found.parent().and_then(Path::parent).map(|root| root.join("lib"));
    let pythons = folder.and_then(|lib| std::fs::read_dir(lib).ok()).into_iter().flatten().flatten();
    pythons.map(|python| python.path().join(&within)).find(|file| file.is_file()).unwrap_or(found)
}

/// As it comes: 256 requests at once are its default.
fn s3bulk(command: &mut Command, workload: Workload, place: &Place<'_>) {
    let ends = ["--source-endpoint-url", place.source, "--dest-endpoint-url", place.dest];
    match workload {
        Workload::List => command.args(["list", "--endpoint-url", place.source]).arg(url(SOURCE)),
        _ => command.arg("copy").args(ends).args([url(SOURCE), url(DEST)]),
    };
}

fn s5cmd(command: &mut Command, workload: Workload, place: &Place<'_>) {
    command.args(["--endpoint-url", place.source, "--numworkers", AT_ONCE]);
    match workload {
        Workload::List => command.arg("ls").arg(format!("s3://{SOURCE}/*")),
        // At its other levels it prints a line for each object.
        _ => command.args(["--log", "error", "cp"]).arg(format!("s3://{SOURCE}/*")).arg(url(DEST)),
    };
}

/// Without looks at what is known to be empty, without a HEAD of each source object for a time of its own
/// and of each copy to see that it is there, and without a checksum of the whole file on top of those of the
/// parts.
fn rclone(command: &mut Command, workload: Workload, place: &Place<'_>) {
    let remotes = if workload.has_two_ends() { ["SOURCE", "DEST"] } else { ["SOURCE", "SOURCE"] };
    for (remote, endpoint) in [("SOURCE", place.source), ("DEST", place.dest)] {
        let variable = |name: &str| format!("RCLONE_CONFIG_{remote}_{name}");
        command
            .env(variable("TYPE"), "s3")
            .env(variable("PROVIDER"), "Other")
            .env(variable("ENV_AUTH"), "true")
            .env(variable("LIST_VERSION"), "2")
            .env(variable("REGION"), REGION)
            .env(variable("ENDPOINT"), endpoint);
    }
    let [from, to] = remotes.map(|remote| format!("{}:", remote.to_lowercase()));
    if workload == Workload::List {
        command.args(["lsf", "--recursive", "--files-only", "--fast-list", "--config", "/dev/null"]);
        command.arg(format!("{from}{SOURCE}"));
        return;
    }
    command.args(["copy", "--config", "/dev/null", "--transfers", AT_ONCE, "--checkers", AT_ONCE]);
    command.args(["--fast-list", "--no-check-dest", "--s3-no-check-bucket", "--s3-disable-checksum"]);
    command.arg("--use-server-modtime");
    if workload == Workload::SmallClient {
        command.arg("--s3-no-head");
    }
    if workload == Workload::Large {
        command.args(["--multi-thread-streams", "16", "--multi-thread-cutoff", "64M"]);
        command.args(["--s3-chunk-size", "16M", "--multi-thread-chunk-size", "16M", "--s3-upload-concurrency", "16"]);
    }
    command.args([format!("{from}{SOURCE}"), format!("{to}{DEST}")]);
}

/// Without a request for each object's tags. The large one was not uploaded in parts of its size, so that the
/// entity tags differ; and where bodies have a checksum anyway, s3bulk does not sign them either.
fn s3sync(command: &mut Command, workload: Workload, place: &Place<'_>) {
    for (end, endpoint) in [("source", place.source), ("target", place.dest)] {
        command.arg(format!("--{end}-endpoint-url")).arg(endpoint);
        command.arg(format!("--{end}-force-path-style"));
        command.arg(format!("--{end}-region")).arg(REGION);
        command.arg(format!("--{end}-access-key")).arg(KEY);
        command.arg(format!("--{end}-secret-access-key")).arg(KEY);
    }
    command.args(["--worker-size", AT_ONCE, "--disable-tagging", "--show-no-progress"]);
    if !workload.has_two_ends() {
        command.arg("--server-side-copy");
    }
    if workload == Workload::Large {
        command.args(["--max-parallel-uploads", "16", "--multipart-chunksize", "16MiB"]);
        command.args(["--disable-multipart-verify", "--disable-payload-signing"]);
    }
    command.args([url(SOURCE), url(DEST)]);
}

/// With 256 at once, a tenth faster on small objects than with the 10 of its own, for the same CPU.
fn aws(command: &mut Command, workload: Workload, place: &Place<'_>) {
    command.args(["--endpoint-url", place.source, "s3"]);
    match workload {
        Workload::List => command.args(["ls", "--recursive"]).arg(url(SOURCE)),
        _ => command.args(["cp", "--recursive", "--only-show-errors"]).args([url(SOURCE), url(DEST)]),
    };
}

/// The whole bucket, with the slash that s5cmd needs and all others take.
fn url(bucket: &str) -> String {
    format!("s3://{bucket}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Tool {
        pub(crate) fn named(kind: Kind, version: &str) -> Tool {
            Tool { kind, version: format!("{kind} {version}"), binary: PathBuf::new(), wrapper: Vec::new() }
        }
    }

    #[test]
    fn versions_are_read_as_each_says_them() {
        assert_eq!(version(Kind::S5cmd, "v2.3.0-991c9fb\n"), "s5cmd 2.3.0");
        assert_eq!(version(Kind::Rclone, "rclone v1.75.2\n- os/version: debian\n"), "rclone 1.75.2");
        assert_eq!(version(Kind::Aws, "aws-cli/1.45.11 Python/3.11.7 Linux/6\n"), "aws 1.45.11");
        assert_eq!(version(Kind::S3bulk, "s3bulk 0.1.0\n"), "s3bulk 0.1.0");
    }

    #[test]
    fn what_does_not_run_is_named() -> Outcome<()> {
        let found = said(Path::new("/nowhere/rclone"), "--version");
        assert!(found.is_err_and(|error| error.to_string().starts_with("/nowhere/rclone does not run: ")));
        let found = said(Path::new("false"), "--version");
        assert_eq!(found.map_err(|error| error.to_string()), Err("false does not run: exit status: 1".to_owned()));
        Ok(())
    }

    #[test]
    fn a_wrapper_comes_before_the_binary() -> Outcome<()> {
        let tool = Tool { binary: "/bin/s3bulk".into(), ..Tool::named(Kind::S3bulk, "1") };
        let home = tempfile::tempdir()?;
        let place = Place { source: "http://a", dest: "http://b", home: home.path() };
        let command = tool.under(&["valgrind", "-q"]).command(Workload::Start, &place)?;
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        assert_eq!(words, ["valgrind", "-q", "/bin/s3bulk", "--version"]);
        Ok(())
    }
}
