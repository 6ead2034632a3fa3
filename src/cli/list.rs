//! `s3bulk list`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::chosen::ChosenArgs;
use super::ends::{StoreArgs, check_objects};
use super::exit::Exit;
use super::flags::{PlaceArgs, RequestArgs, ShownArgs, list_concurrency};
use super::frame::{self, Ran};
use super::machine::fit_open_files;
use super::manifest::{ManifestArgs, claim_with};
use super::policy::{Needed, Reached};
use super::report_error;
use super::tell::{print, tell};
use super::unattended::{Unattended, UnattendedArgs};
use crate::job::{Finished, Listed, Listing, Stop};
use crate::journal::{Claim, JobIdentity, Place};
use crate::model::{Error, Location, Target, refuse_overlaps};
use crate::op::{allow_list, partition};
use crate::pace::Pacer;
use crate::report::{Added, Format, Output, Recorded, Report, Status, Terminal};
use crate::source::Source;
use crate::store::{Bucket, End};

const EXAMPLES: &str = "\
Locations:
  s3://bucket             every object
  s3://bucket/prefix/     every object whose key begins with prefix/
  s3://bucket/x/*.csv     those that match (** goes through folders)
  s3://bucket/key         one object

Examples:
  s3bulk list s3://bucket/prefix/
  s3bulk list --format jsonl s3://bucket | jq .key
  s3bulk list --output keys.csv.gz s3://bucket
  s3bulk list --summarize --depth 2 s3://bucket
  s3bulk list --manifest inventory/manifest.json --min-size 1GB s3://bucket
  s3bulk list --older-than 30d --storage-class-in STANDARD 's3://bucket/*/logs/**.gz'

The order is that in which keys are found, unless --ordered is given. CSV, TSV
and JSON lines have bucket, key, size, last_modified, etag and storage_class. An
interrupted run with --output is resumed by running the same command again.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    Text,
    Jsonl,
    Csv,
    Tsv,
}

/// List objects, many ranges of keys at once
///
/// Writes a line for each object under SOURCE to stdout, or to a file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListVerbArgs {
    /// What to list
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,

    /// Take * ? and [ in locations literally
    #[arg(long)]
    no_glob: bool,
    /// How lines look [default: as FILE's ending says, or text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// Write the lines to FILE, beside which they are until it is whole; one that ends in .gz or .zst is
    /// compressed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// In byte order
    #[arg(long, conflicts_with = "manifest")]
    ordered: bool,
    /// Print objects and bytes by storage class and folder, and lines only to FILE
    #[arg(long)]
    summarize: bool,
    /// Tell folders apart down to N below SOURCE
    #[arg(long, default_value_t = 1, value_name = "N", requires = "summarize")]
    depth: usize,

    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Ask the store for each object of which the manifest does not say size, or what is filtered by
    #[arg(long, requires = "manifest", help_heading = "What is chosen")]
    head: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Ranges of keys listed at once; 1: one page after another
    // A page of S3 takes some 80 ms: so many keep two cores busy. Chosen by measurement.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = list_concurrency, help_heading = "How fast")]
    list_concurrency: usize,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    unattended: UnattendedArgs,
    #[command(flatten)]
    shown: ShownArgs,
}

impl ListVerbArgs {
    /// What was said of what is shown.
    pub(super) fn shown(&self) -> &ShownArgs {
        &self.shown
    }

    /// The file that the lines go to.
    fn output(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| path.as_os_str() != "-")
    }

    /// Whether the lines go to stdout.
    fn prints(&self) -> bool {
        self.output().is_none() && !self.summarize
    }

    fn format(&self) -> Format {
        let name = self.output().map(|path| path.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        match self.format {
            Some(FormatArg::Text) => Format::Text,
            Some(FormatArg::Jsonl) => Format::Jsonl,
            Some(FormatArg::Csv) => Format::Csv,
            Some(FormatArg::Tsv) => Format::Tsv,
            None if name.ends_with(".jsonl") || name.ends_with(".ndjson") => Format::Jsonl,
            None if name.ends_with(".csv") => Format::Csv,
            None if name.ends_with(".tsv") => Format::Tsv,
            None => Format::Text,
        }
    }

    /// What is shown: nothing between the lines on a terminal.
    fn shows(&self) -> ShownArgs {
        let mixed = self.prints() && std::io::stdout().is_terminal() && self.shown.verbose == 0;
        ShownArgs { quiet: self.shown.quiet || mixed, ..self.shown.clone() }
    }

    /// Where the checkpoint is kept: of lines that nobody keeps there is none, unless it is named.
    fn place(&self) -> Result<Place, Error> {
        let kept = self.output().is_some_and(|path| !path.exists() || path.is_file());
        if kept || self.place.checkpoint.is_some() { self.place.place() } else { Ok(Place::Nowhere) }
    }

    /// The policy that it needs.
    pub(super) async fn needed(&self) -> Result<Needed, Error> {
        let parse = |text: &String| Location::parse(text, self.no_glob).map_err(Error::Usage);
        let sources = self.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        refuse_overlaps(&sources)?;
        self.chosen.filter()?;
        let party = Reached::new(self.store.config()).await.party(&sources[0].bucket);
        Ok(Needed { policies: allow_list(&sources, &party).filter(|_| !party.unsigned), notes: Vec::new() })
    }

    /// What makes another run the same job.
    fn identity(&self, sources: &[Location], end: &End) -> JobIdentity {
        let mut options = BTreeMap::new();
        self.chosen.identity(&mut options);
        self.manifest.identity(&mut options);
        let mut put = |name: &str, value: String| drop(options.insert(name.to_owned(), value));
        put("format", format!("{:?}", self.format()).to_lowercase());
        put("source-store", end.endpoint().unwrap_or_else(|| partition(end.region())).to_owned());
        self.store.profile().into_iter().for_each(|profile| put("source-profile", profile));
        if self.ordered {
            put("ordered", "true".to_owned());
        }
        if self.summarize {
            put("depth", self.depth.to_string());
        }
        if sources.iter().any(|source| matches!(source.target, Target::Pattern(_))) {
            put("glob", "true".to_owned());
        }
        let output = self.output().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        JobIdentity {
            verb: "list".to_owned(),
            sources: sources.iter().map(Location::to_string).collect(),
            dest: output.map_or_else(|| "-".to_owned(), |path| path.to_string_lossy().into_owned()),
            options,
            job_id: self.place.job_id.clone(),
        }
    }
}

/// Runs the verb. `typed` is the command line as it was typed, for the hints.
pub(super) fn run(args: &ListVerbArgs, typed: &[OsString], terminal: &Terminal) -> Exit {
    let tell = |ran, stop: &Stop, job| {
        let mut listed = match ran {
            Ran::Worked(listed) => listed,
            Ran::NotBegun => nothing(stop, None),
            Ran::Failed(error) => nothing(stop, Some(error)),
        };
        listed.finished.summary.job = job;
        let exit = show(args, typed, &mut listed, terminal);
        (listed.finished.summary, exit)
    };
    let prepare = async |unattended: &Unattended, stop: &Stop| prepare(args, unattended, stop, terminal).await;
    frame::run(&args.unattended, terminal, prepare, async |listing: Listing| listing.run().await, tell)
}

/// Shows what was added up, and how the listing ended.
fn show(args: &ListVerbArgs, typed: &[OsString], listed: &mut Listed, terminal: &Terminal) -> Exit {
    if listed.closed {
        return Exit::Done;
    }
    let complete = listed.finished.summary.status == Status::Complete;
    if args.summarize && complete {
        let added = Added::from(&listed.sums);
        for line in added.text().iter().filter(|_| !args.shown.json) {
            if let Err(error) = print(line) {
                let why = format!("the summary cannot be written to stdout: {error}");
                return report_error(&Error::Checkpoint(why), terminal);
            }
        }
        listed.finished.summary.added = Some(added);
    }
    tell(&args.shows(), &args.sources, typed, &listed.finished, terminal)
}

fn nothing(stop: &Stop, error: Option<Error>) -> Listed {
    let finished = Finished::before_it_began("list", stop.signal(), error);
    Listed { finished, sums: Default::default(), closed: false }
}

/// Resolves what was typed into a listing.
async fn prepare(
    args: &ListVerbArgs,
    unattended: &Unattended,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<Listing, Error> {
    let parse = |text: &String| Location::parse(text, args.no_glob).map_err(Error::Usage);
    let locations = args.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    refuse_overlaps(&locations)?;
    let choice = args.chosen.filter()?;
    if args.shown.json && args.prints() {
        return Err(Error::Usage(
            "--json prints the summary where the lines would go: name a file for them with --output, or give --summarize"
                .to_owned(),
        ));
    }
    let place = args.place()?;
    let concurrency = fit_open_files(args.list_concurrency);
    let end = End::load("", args.store.config()).await?;
    let identity = args.identity(&locations, &end);
    end.name_job(&identity.short_name());
    unattended.name_job(identity.short_name());
    let pacer = Pacer::new(args.requests.bounds(concurrency, None), stop.token.clone());
    let mut sources = open(&end, locations, &pacer).await?;

    let manifest = args.manifest.open(&end, &pacer).await?;
    let manifest = manifest.map(|manifest| if args.head { manifest } else { manifest.without_asking() });
    let checkpoint = place.path(&identity).map(|path| std::path::absolute(&path).unwrap_or(path));
    check_output(args.output(), checkpoint.as_deref())?;
    unattended.refuse_files(&[args.output(), checkpoint.as_deref()])?;
    let job = identity.fingerprint();
    let claim = claim_with(Claim::new(identity, &place, args.place.mode())?, manifest.as_ref())?;
    for source in &mut sources {
        source.filter = choice.resolve(claim.started_at(), &source.location)?.map(Arc::new);
    }
    if !claim.is_resumed() && manifest.is_none() {
        check_objects(&sources).await?;
    }
    let output = match args.output() {
        Some(path) => {
            let is_whole = claim.is_all_written();
            let recorded = claim.output_length().map(|length| Recorded { length, is_whole });
            Some(Output::file(path, &job, recorded)?)
        }
        None if args.prints() => Some(Output::stdout()),
        None => None,
    };
    let journal = claim.begin()?;
    let report = Report::new(args.shows().show(), terminal.clone(), false);
    if let (Some(resumed), false) = (journal.resumed(), args.shown.quiet) {
        report.resuming(resumed.done);
    }
    Ok(Listing {
        sources,
        manifest: manifest.map(Arc::new),
        objects: args.chosen.limit,
        journal,
        checkpoint,
        output,
        format: args.format(),
        ordered: args.ordered,
        depth: args.summarize.then_some(args.depth),
        report,
        pacer,
        concurrency,
        stop: stop.clone(),
    })
}

/// Opens each bucket once.
pub(super) async fn open(end: &End, locations: Vec<Location>, pacer: &Arc<Pacer>) -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Source> = Vec::new();
    for (location, index) in locations.into_iter().zip(0..) {
        let known = sources.iter().map(|source| &source.bucket).find(|bucket| bucket.name() == location.bucket);
        let bucket: Bucket = match known {
            Some(bucket) => bucket.clone(),
            None => end.bucket(&location.bucket, pacer).await?,
        };
        sources.push(Source { index, bucket, location, version_id: None, filter: None, beside: None });
    }
    Ok(sources)
}

/// The lines must not go where the checkpoint or its lock is, by whatever name.
fn check_output(output: Option<&Path>, checkpoint: Option<&Path>) -> Result<(), Error> {
    let place = |path: &Path| {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
        path.canonicalize().ok().unwrap_or_else(|| folder.join(path.file_name().unwrap_or_default()))
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(output), Some(checkpoint)) = (output.map(absolute), checkpoint.map(absolute)) else { return Ok(()) };
    let mut lock = place(&checkpoint).into_os_string();
    lock.push(".lock");
    if [place(&checkpoint), PathBuf::from(lock)].contains(&place(&output)) {
        return Err(Error::Usage(format!("--output {} is the checkpoint: name another file", output.display())));
    }
    Ok(())
}
