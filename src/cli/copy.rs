//! `s3bulk copy`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use clap::{Args, ValueEnum};

use super::archive::{ArchiveArgs, Asked, are_in_place, map_copies};
use super::chosen::ChosenArgs;
use super::ends::{EndArgs, Open, Opened, check_objects, side};
use super::estimate::Estimate;
use super::exit::Exit;
use super::flags::{CheckpointArgs, ShownArgs, SpeedArgs};
use super::frame::{self, finished};
use super::machine::fit_open_files;
use super::manifest::{ManifestArgs, claim_with};
use super::plan::{Planning, Said};
use super::policy::{Needed, Reached};
use super::prices::PriceArgs;
use super::restore::buckets;
use super::tell::tell;
use super::unattended::{Unattended, UnattendedArgs};
use super::written::{KeepArgs, PartArgs, WriteArgs};
use crate::job::{Job, Limits, Stop};
use crate::journal::{Claim, JobIdentity, Place};
use crate::model::{Error, Location, Mapping, Target, escape_key};
use crate::op::{
    Copy, CopyNeeds, CopySettings, DryRun, Restore, RestorePlan, RestoreSettings, Via, allow_copy, allow_restore,
    choose, partition, same_store,
};
use crate::pace::{ByteBudget, Pacer};
use crate::report::{FailuresFile, ReceiptFile, Report, Terminal};
use crate::store::{Bucket, CustomerKey, End, PageRequest};

const EXAMPLES: &str = "\
Locations:
  s3://bucket             every object
  s3://bucket/prefix/     every object whose key begins with prefix/
  s3://bucket/key         one object
  's3://bucket/x/*.csv'   every object whose key matches, quoted from the shell:
                          * is any run of characters but /, ** any run, ? one
                          character but /, [a-z] one of these, [!a-z] another
  's3://bucket/day-*/'    every object under what matches

Examples:
  s3bulk copy s3://logs/2025/ s3://archive/logs/2025/
  s3bulk copy s3://a/x/ s3://a/y/ s3://b/both/
  s3bulk copy 's3://logs/2025/**.gz' s3://archive/logs/2025/
  s3bulk copy --include '*.csv' --exclude 'tmp/*' --older-than 7d s3://a/ s3://b/
  s3bulk copy --dry-run s3://logs/ s3://archive/
  s3bulk copy --storage-class DEEP_ARCHIVE --max-cost 50 s3://logs/ s3://archive/
  s3bulk copy --source-profile old --dest-endpoint-url https://minio.example s3://a/ s3://b/
  s3bulk copy --storage-class DEEP_ARCHIVE --older-than 30d s3://logs/ s3://logs/
  s3bulk copy --manifest keys.txt s3://a/x/ s3://b/y/
  s3bulk copy --retry-failed s3://logs/2025/ s3://archive/logs/2025/

An interrupted run is resumed by running the same command again.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ViaArg {
    Auto,
    Server,
    Client,
}

/// Copy objects, server-side where the store can
///
/// Copies every object under SOURCE to DEST: s3://a/x/ to s3://b/y/ makes x/K y/K. Of several
/// sources each keeps its last path segment.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CopyArgs {
    /// What to copy
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Where to
    #[arg(value_name = "DEST")]
    dest: String,

    /// Take * ? and [ in locations literally
    #[arg(long)]
    no_glob: bool,
    /// Which way the bytes go; auto: within the store where it can
    #[arg(long, value_enum, default_value = "auto", value_name = "WAY")]
    via: ViaArg,
    /// List, and say what would be done, by which requests and for how much; write nothing
    #[arg(long)]
    dry_run: bool,
    /// A listed object that is gone when its turn comes is a failure, not a skip
    #[arg(long)]
    strict_source: bool,

    /// Copy this version of the one object that SOURCE is
    #[arg(long, value_name = "ID", conflicts_with = "manifest", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    version_id: Option<String>,
    /// Write a line for each copy to FILE (.jsonl or .jsonl.zst)
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    written: WriteArgs,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    archive: ArchiveArgs,
    #[command(flatten)]
    ends: EndArgs,
    #[command(flatten)]
    speed: SpeedArgs,
    #[command(flatten)]
    parts: PartArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    prices: PriceArgs,
    #[command(flatten)]
    unattended: UnattendedArgs,
    #[command(flatten)]
    shown: ShownArgs,
}

impl CopyArgs {
    /// What was said of what is shown.
    pub(super) fn shown(&self) -> &ShownArgs {
        &self.shown
    }

    fn via(&self) -> Via {
        match self.via {
            ViaArg::Auto => Via::Auto,
            ViaArg::Server => Via::Server,
            ViaArg::Client => Via::Client,
        }
    }

    /// Whether the copies have another SSE-C key than the source's objects.
    fn rekeys(&self, (source, dest): &(Option<CustomerKey>, Option<CustomerKey>)) -> bool {
        source != dest
    }

    /// What matters of it in place.
    fn asked(&self, rekeys: bool) -> Asked<'_> {
        Asked { via: self.via(), keep: self.keep.keep(), version_id: self.version_id.as_deref(), rekeys }
    }

    /// Whether it is said that objects may be overwritten, if there are any.
    fn looks_first(&self) -> bool {
        !self.shown.quiet && !self.keep.keep().looks_beside()
    }

    /// The policies that it needs.
    pub(super) async fn needed(&self) -> Result<Needed, Error> {
        let parse = |text: &String| Location::parse(text, self.no_glob).map_err(Error::Usage);
        let sources = self.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let dest = parse(&self.dest)?;
        self.chosen.filter()?;
        check_version(self, &sources)?;
        let (source_end, dest_end) = (Reached::new(self.ends.source()).await, Reached::new(self.ends.dest()).await);
        let (from, to) = (source_end.side(), dest_end.side());
        let mut wants = self.written.wants()?;
        let rekeys = !wants.change_something() && self.rekeys(&self.written.customer_keys()?);
        let changes = wants.change_something() || rekeys;
        let mappings = map_copies(&sources, &dest, same_store(from, to), changes)?;
        let in_place = are_in_place(&mappings);
        if self.archive.in_place(in_place, &wants, self.asked(rekeys))?.is_some() {
            wants = self.archive.likely_onto_itself(wants);
        }
        let needs = CopyNeeds {
            mappings,
            source: source_end.party(&sources[0].bucket),
            dest: dest_end.party(&dest.bucket),
            way: choose(self.via(), from, to),
            wants,
            keep: self.keep.keep(),
            waits: self.archive.restores()?.is_some(),
            of_version: self.version_id.is_some(),
            dry_run: self.dry_run,
            looks_first: !in_place && self.looks_first(),
            resumes: !self.checkpoint.place.no_checkpoint,
            one_identity: !self.ends.source_has_own_credentials() && same_store(from, to),
            to: dest,
            sources,
        };
        let kms = (!self.dry_run && !self.shown.quiet).then_some(
            "not in it: kms:Decrypt for objects of the source that are encrypted with KMS keys of your own, and \
             kms:GenerateDataKey and kms:Decrypt where the destination's default encryption is with one",
        );
        let policies = match self.archive.restores()? {
            Some(_) => allow_restore(&needs.sources, self.dry_run, &needs.source, Some(&needs)),
            None => allow_copy(&needs),
        };
        let manifest = self.manifest.in_bucket().map(|_| "not in it: s3:GetObject for the manifest");
        Ok(Needed { policies, notes: kms.into_iter().chain(manifest).collect() })
    }

    /// What makes another run the same job: what was typed, and the stores that it means.
    fn identity(&self, sources: &[Location], dest: &Location, ends: (&End, &End)) -> JobIdentity {
        let mut options = BTreeMap::new();
        let (source_end, dest_end) = ends;
        self.chosen.identity(&mut options);
        self.manifest.identity(&mut options);
        self.written.identity(&mut options);
        self.keep.identity(&mut options);
        self.archive.identity(&mut options);
        options.extend(self.version_id.iter().map(|id| ("version-id".to_owned(), id.clone())));
        for (name, end) in [("source", source_end), ("dest", dest_end)] {
            let store = end.endpoint().unwrap_or_else(|| partition(end.region()));
            options.insert(format!("{name}-store"), store.to_owned());
        }
        options.extend(self.ends.profiles().map(|(name, profile)| (name.to_owned(), profile)));
        match self.via {
            ViaArg::Auto => None,
            ViaArg::Server => Some("server"),
            ViaArg::Client => Some("client"),
        }
        .map(|via| options.insert("via".to_owned(), via.to_owned()));
        // Taken literally, the same text is another source.
        if sources.iter().any(|source| matches!(source.target, Target::Pattern(_))) {
            options.insert("glob".to_owned(), "true".to_owned());
        }
        if self.strict_source {
            options.insert("strict-source".to_owned(), "true".to_owned());
        }
        JobIdentity {
            verb: "copy".to_owned(),
            sources: sources.iter().map(Location::to_string).collect(),
            dest: dest.to_string(),
            options,
            job_id: self.checkpoint.place.job_id.clone(),
        }
    }
}

/// Runs the verb. `typed` is the command line as it was typed, for the hints.
pub(super) fn run(args: &CopyArgs, typed: &[OsString], terminal: &Terminal) -> Exit {
    let work = async |Prepared { job, copy, restores, planning }: Prepared| {
        let restore = |copy, (buckets, settings)| Restore::new(buckets, settings, Some(copy));
        let (mut finished, plan) = match (args.dry_run, restores) {
            (false, None) => return job.run(copy).await,
            (false, Some(restores)) => return job.run(restore(copy, restores)).await,
            (true, None) => {
                let (op, plan) = DryRun::new(copy);
                (job.run(op).await, plan)
            }
            (true, Some(restores)) => {
                let (op, plan) = RestorePlan::new(restore(copy, restores));
                (job.run(op).await, plan)
            }
        };
        let plan = std::mem::take(&mut *plan.lock().unwrap_or_else(PoisonError::into_inner));
        planning.finish(plan, &mut finished);
        finished
    };
    let tell = |ran, stop: &Stop, job| {
        let mut finished = finished("copy", ran, stop);
        finished.summary.job = job;
        let exit = tell(&args.shown, &args.sources, typed, &finished, terminal);
        (finished.summary, exit)
    };
    frame::run(
        &args.unattended,
        terminal,
        async |unattended, stop| prepare(args, unattended, stop, terminal).await,
        work,
        tell,
    )
}

/// A job that is ready to run.
struct Prepared {
    job: Job,
    copy: Copy,
    /// How archived objects are restored, if they are.
    restores: Option<(Vec<Bucket>, RestoreSettings)>,
    planning: Planning,
}

/// Resolves what was typed into a job.
async fn prepare(
    args: &CopyArgs,
    unattended: &Unattended,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<Prepared, Error> {
    let parse = |text: &String| Location::parse(text, args.no_glob).map_err(Error::Usage);
    let locations = args.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let dest = parse(&args.dest)?;
    let choice = args.chosen.filter()?;
    let mut wants = args.written.wants()?;
    let priced = args.prices.read()?;
    let restores = args.archive.restores()?;
    check_version(args, &locations)?;
    let keys = args.written.customer_keys()?;
    let rekeys = args.rekeys(&keys);
    let changes = wants.change_something() || rekeys;
    let in_place = |mappings: &[Mapping]| args.archive.in_place(are_in_place(mappings), &wants, args.asked(rekeys));
    if args.ends.are_alike() {
        // What cannot be meant is said before anything is asked.
        in_place(&map_copies(&locations, &dest, true, changes)?)?;
    }
    // A dry run leaves nothing behind.
    let place = if args.dry_run { Place::Nowhere } else { args.checkpoint.place.place()? };
    let concurrency = fit_open_files(args.speed.at_once.concurrency);
    let (source_end, dest_end) = args.ends.load(keys).await?;
    let one_store = same_store(side(&source_end), side(&dest_end));
    let mappings = map_copies(&locations, &dest, one_store, changes)?;
    let in_place = in_place(&mappings)?;
    let prices = priced.of_stores(source_end.endpoint().is_none() && dest_end.endpoint().is_none())?;
    let identity = args.identity(&locations, &dest, (&source_end, &dest_end));
    [&source_end, &dest_end].into_iter().for_each(|end| end.name_job(&identity.short_name()));
    unattended.name_job(identity.short_name());

    let pacer = Pacer::new(args.speed.requests.bounds(concurrency, args.speed.bandwidth), stop.token.clone());
    let open = Open {
        source: &source_end,
        dest: &dest_end,
        pacer: &pacer,
        via: args.via(),
        version_id: args.version_id.as_deref(),
        looks_beside: args.keep.keep().looks_beside() || restores.is_some(),
    };
    let Opened { mut sources, copies, dest: dest_bucket } = open.all(locations.clone(), mappings, &dest).await?;

    if in_place.is_some() {
        wants = args.archive.onto_itself(wants, &dest_bucket).await?;
    }

    let manifest = args.manifest.open(&source_end, &pacer).await?.map(Arc::new);
    let checkpoint = place.path(&identity).map(|path| std::path::absolute(&path).unwrap_or(path));
    let failures_path = if args.dry_run { None } else { args.checkpoint.failures_path(checkpoint.as_deref())? };
    let receipt_path = args.receipt.as_deref().filter(|_| !args.dry_run);
    check_receipt(receipt_path, failures_path.as_deref(), checkpoint.as_deref())?;
    unattended.refuse_files(&[receipt_path, failures_path.as_deref(), checkpoint.as_deref()])?;
    let plain = identity.clone();
    let claim = claim_with(Claim::new(identity, &place, args.checkpoint.mode())?, manifest.as_deref())?;
    for source in &mut sources {
        // As of the job's first start, so that a resumed job chooses the same objects.
        source.filter = choice.resolve(claim.started_at(), &source.location)?.map(Arc::new);
    }
    let looks_first = args.looks_first();
    if !claim.is_resumed() {
        if manifest.is_none() {
            check_objects(&sources).await?;
        }
        if in_place.is_none() && !args.dry_run && looks_first {
            say_overwrites(&dest_bucket, &dest, terminal).await;
        }
    }
    let max_failures = args.checkpoint.max_failures;
    let limits = Limits {
        concurrency,
        list_concurrency: args.speed.list_concurrency,
        max_failures,
        objects: args.chosen.limit,
        strict: args.manifest.is_strict(),
    };
    let restores = restores.map(|settings| RestoreSettings {
        prices: prices.clone(),
        strict_source: args.strict_source,
        ..settings
    });
    let is_new = !claim.is_resumed() && !args.dry_run && !args.checkpoint.retry_failed;
    if let (Some(settings), Some(known), true) = (&restores, &prices, is_new && priced.asks()) {
        let op = Restore::new(buckets(&sources), RestoreSettings { waiting: None, ..settings.clone() }, None);
        let (sources, manifest, pacer) = (sources.clone(), manifest.clone(), Arc::clone(&pacer));
        Estimate { sources, manifest, prices: Arc::clone(known), op, identity: plain, pacer, limits, stop }
            .ask(terminal)
            .await?;
    }
    let restores = restores.map(|settings| (buckets(&sources), settings));
    let settings = CopySettings {
        strict_source: args.strict_source,
        may_fall_back: in_place.is_none() && args.via() == Via::Auto && args.ends.source_has_own_credentials(),
        wants,
        keep: args.keep.keep(),
        archived: args.archive.archived(),
        in_place,
        threshold: args.parts.multipart_threshold,
        part_size: args.parts.part_size,
        receipts: receipt_path.is_some(),
        prices: prices.clone(),
        since: claim.started_at(),
        unfinished: claim.unfinished(),
    };
    let planning = Planning::new(Said {
        sources: &locations,
        dest: &dest,
        one_store,
        choice: &choice,
        settings: &settings,
        regions: sources.iter().map(|source| &source.bucket).chain([&dest_bucket]).map(region_of).collect(),
        speed: &args.speed,
        max_cost: priced.max_cost,
        looks_first: looks_first && in_place.is_none(),
        chosen_otherwise: args.manifest.is_given() || args.chosen.limit.is_some(),
    });
    // A dry run has its price in the plan.
    let meter = priced.meter(prices.filter(|_| !args.dry_run), settings.wants.storage_class.as_deref());
    let op = Copy::new(copies, dest_bucket, ByteBudget::new(args.speed.memory), settings, concurrency);
    for item in claim.abandoned() {
        op.abandon(item).await;
    }
    let print_all_failures = args.shown.verbose > 0 || failures_path.is_none();
    let failures = FailuresFile::new(failures_path)?;
    let receipt = receipt_path.map(|path| ReceiptFile::open(path, claim.is_resumed())).transpose()?;
    let journal = claim.begin()?;
    let report = Report::new(args.shown.show(), terminal.clone(), print_all_failures);
    if let (Some(resumed), false) = (journal.resumed(), args.shown.quiet) {
        report.resuming(resumed.settled());
    }
    if let (Some(resumed), Some(receipt)) = (journal.resumed().filter(|tally| tally.done > 0), &receipt)
        && receipt.is_new()
    {
        terminal.warn(&format!(
            "the receipt {} is empty: it will lack the {} objects that earlier runs of this job copied",
            receipt.path().display(),
            resumed.done
        ));
    }
    let stop = stop.clone();
    let verb = "copy";
    let job =
        Job { verb, sources, manifest, journal, checkpoint, failures, receipt, report, pacer, limits, meter, stop };
    Ok(Prepared { job, copy: op, restores, planning })
}

fn region_of(bucket: &Bucket) -> String {
    bucket.region().to_owned()
}

fn check_version(args: &CopyArgs, sources: &[Location]) -> Result<(), Error> {
    match (&args.version_id, sources) {
        (None, _) => Ok(()),
        (Some(_), [Location { target: Target::Object(_), .. }]) => Ok(()),
        (Some(id), _) => Err(Error::Usage(format!(
            "--version-id {id:?} is a version of one object: name one SOURCE, without a slash at its end and no pattern"
        ))),
    }
}

/// A receipt must not be a file that the run writes otherwise.
fn check_receipt(receipt: Option<&Path>, failures: Option<&Path>, checkpoint: Option<&Path>) -> Result<(), Error> {
    let Some(receipt) = receipt.and_then(|path| std::path::absolute(path).ok()) else { return Ok(()) };
    if [failures, checkpoint].contains(&Some(receipt.as_path())) {
        return Err(Error::Usage(format!(
            "--receipt {} is the checkpoint or the failures file: name another",
            receipt.display()
        )));
    }
    Ok(())
}

/// Says that objects may be overwritten, where the destination is not empty. One that may not be
/// listed is left to the run.
async fn say_overwrites(bucket: &Bucket, dest: &Location, terminal: &Terminal) {
    let request = PageRequest { prefix: dest.path(), max_keys: Some(1), ..PageRequest::default() };
    let found = match &dest.target {
        Target::Prefix(_) | Target::Pattern(_) => {
            bucket.list(&request).await.is_ok_and(|page| !page.objects.is_empty())
        }
        Target::Object(key) => bucket.find(key).await.is_ok_and(|object| object.is_some()),
    };
    if found {
        terminal.warn(&format!(
            "{} is not empty: what has the same name is overwritten (--no-overwrite, --skip-existing and --skip-newer \
             leave it alone)",
            escape_key(&dest.to_string())
        ));
    }
}
