//! `s3bulk restore`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use clap::Args;

use super::archive::{TierArg, parse_pause, tiers};
use super::chosen::ChosenArgs;
use super::ends::{EndArgs, Open, Opened, check_objects, side};
use super::estimate::Estimate;
use super::exit::Exit;
use super::flags::{CheckpointArgs, ShownArgs, SpeedArgs};
use super::frame::{self, finished};
use super::machine::fit_open_files;
use super::manifest::{ManifestArgs, claim_with};
use super::plan::finish_restore;
use super::policy::{Needed, Reached};
use super::prices::PriceArgs;
use super::tell::tell;
use super::unattended::{Unattended, UnattendedArgs};
use super::written::{KeepArgs, PartArgs, WriteArgs};
use crate::job::{Job, Limits, Stop};
use crate::journal::{Claim, JobIdentity, Place};
use crate::model::{Error, Location, Prices, Target, Tier, map_sources, parse_duration, parse_size, refuse_overlaps};
use crate::op::{
    Archived, Copy, CopyNeeds, CopySettings, CopySource, Restore, RestorePlan, RestoreSettings, Via, Waiting,
    allow_restore, choose, partition, same_store,
};
use crate::pace::{ByteBudget, Pacer};
use crate::report::{FailuresFile, Report, Terminal};
use crate::source::Source;
use crate::store::{Bucket, End};

const EXAMPLES: &str = "\
Examples:
  s3bulk restore --days 7 s3://archive/logs/2024/
  s3bulk restore --days 7 --wait --timeout 48h s3://archive/logs/2024/
  s3bulk restore --days 1 --to s3://desk/logs/ s3://archive/logs/2024/
  s3bulk restore --days 1 --to s3://desk/ --window 20TB s3://archive/
  s3bulk restore --days 2 --tier expedited,standard s3://archive/one.tar

An interrupted run is resumed by running the same command again, also while it
waits: nothing is asked for twice.";

/// Restore archived objects; wait for them and copy them, if wanted
///
/// Asks for each archived object (GLACIER, DEEP_ARCHIVE, the archive tiers of INTELLIGENT_TIERING) to be
/// made readable. Objects whose restore is under way, or whose restored copy stays long enough, are
/// not asked for; all others can be read as they are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// What to restore
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,

    /// How long restored copies stay, in days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// How fast; of several, each where the one before has no capacity
    #[arg(long, value_enum, default_value = "bulk", value_name = "TIER,...", value_delimiter = ',')]
    tier: Vec<TierArg>,
    /// Wait until all of them can be read
    #[arg(long)]
    wait: bool,
    /// Copy each object to DEST as soon as it can be read
    #[arg(long, value_name = "DEST")]
    to: Option<String>,
    /// How often to look whether they can be read [default: as fits the tier, from 30s to 30m]
    #[arg(long, value_name = "DURATION", value_parser = parse_pause)]
    poll_interval: Option<Duration>,
    /// Wait no longer than this: what is not restored then has failed
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// With --to: bytes that may be restored and not yet copied
    #[arg(long, value_name = "SIZE", value_parser = parse_window, requires = "to")]
    window: Option<u64>,

    /// Take * ? and [ in locations literally
    #[arg(long)]
    no_glob: bool,
    /// List, and say what would be done; ask for nothing
    #[arg(long)]
    dry_run: bool,
    /// A listed object that is gone when its turn comes is a failure, not a skip
    #[arg(long)]
    strict_source: bool,

    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    written: WriteArgs,
    #[command(flatten)]
    keep: KeepArgs,
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

fn parse_window(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

/// What was typed, as far as it can be understood alone.
struct Meant {
    sources: Vec<Location>,
    to: Option<Location>,
    tiers: Vec<Tier>,
}

impl RestoreArgs {
    /// What was said of what is shown.
    pub(super) fn shown(&self) -> &ShownArgs {
        &self.shown
    }

    fn meant(&self) -> Result<Meant, Error> {
        let parse = |text: &String| Location::parse(text, self.no_glob).map_err(Error::Usage);
        let sources = self.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let to = self.to.as_ref().map(parse).transpose()?;
        self.chosen.filter()?;
        self.written.wants()?;
        match &to {
            Some(to) if self.ends.are_alike() => drop(map_sources(&sources, to, true)?),
            Some(_) => {}
            None => refuse_overlaps(&sources)?,
        }
        let refuse = |what: &str| Err(Error::Usage(what.to_owned()));
        let mut written = BTreeMap::new();
        self.written.identity(&mut written);
        self.keep.identity(&mut written);
        written.remove("source-sse-c");
        if let (None, Some(flag)) = (&to, written.keys().next()) {
            return Err(Error::Usage(format!("--{flag} is for copies: name their place with --to")));
        }
        if !self.waits() && (self.poll_interval.is_some() || self.timeout.is_some()) {
            return refuse("--poll-interval and --timeout go with --wait or --to");
        }
        Ok(Meant { sources, to, tiers: tiers(&self.tier)? })
    }

    fn waits(&self) -> bool {
        self.wait || self.to.is_some()
    }

    fn settings(&self, tiers: &[Tier], prices: Option<Arc<Prices>>) -> RestoreSettings {
        let waiting = Waiting { poll_interval: self.poll_interval, timeout: self.timeout, window: self.window };
        RestoreSettings {
            days: self.days,
            tiers: tiers.to_vec(),
            strict_source: self.strict_source,
            prices,
            waiting: self.waits().then_some(waiting),
        }
    }

    /// The policies that it needs.
    pub(super) async fn needed(&self) -> Result<Needed, Error> {
        let Meant { sources, to, .. } = self.meant()?;
        let (source_end, dest_end) = (Reached::new(self.ends.source()).await, Reached::new(self.ends.dest()).await);
        let (from, onto) = (source_end.side(), dest_end.side());
        let source = source_end.party(&sources[0].bucket);
        let Some(to) = to else {
            let policies = allow_restore(&sources, self.dry_run, &source, None);
            return Ok(Needed { policies, notes: self.notes() });
        };
        let needs = CopyNeeds {
            mappings: map_sources(&sources, &to, same_store(from, onto))?,
            dest: dest_end.party(&to.bucket),
            way: choose(Via::Auto, from, onto),
            wants: self.written.wants()?,
            keep: self.keep.keep(),
            waits: true,
            of_version: false,
            dry_run: self.dry_run,
            looks_first: false,
            resumes: !self.checkpoint.place.no_checkpoint,
            one_identity: !self.ends.source_has_own_credentials() && same_store(from, onto),
            source: source.clone(),
            sources: sources.clone(),
            to,
        };
        Ok(Needed { policies: allow_restore(&sources, self.dry_run, &source, Some(&needs)), notes: self.notes() })
    }

    fn notes(&self) -> Vec<&'static str> {
        self.manifest.in_bucket().map(|_| "not in it: s3:GetObject for the manifest").into_iter().collect()
    }

    /// What makes another run the same job: what was typed, and the stores that it means.
    fn identity(&self, meant: &Meant, ends: (&End, &End)) -> JobIdentity {
        let mut options = BTreeMap::new();
        self.chosen.identity(&mut options);
        self.manifest.identity(&mut options);
        self.written.identity(&mut options);
        self.keep.identity(&mut options);
        let mut put = |name: &str, value: String| drop(options.insert(name.to_owned(), value));
        let store = |end: &End| end.endpoint().unwrap_or_else(|| partition(end.region())).to_owned();
        put("source-store", store(ends.0));
        if self.to.is_some() {
            put("dest-store", store(ends.1));
        }
        self.ends.profiles().for_each(|(name, profile)| put(name, profile));
        put("days", self.days.to_string());
        let tiers = self.tier.iter().map(|tier| Tier::from(*tier).as_str());
        put("tier", tiers.collect::<Vec<_>>().join(","));
        if self.waits() {
            put("wait", "true".to_owned());
        }
        if meant.sources.iter().any(|source| matches!(source.target, Target::Pattern(_))) {
            put("glob", "true".to_owned());
        }
        if self.strict_source {
            put("strict-source", "true".to_owned());
        }
        JobIdentity {
            verb: "restore".to_owned(),
            sources: meant.sources.iter().map(Location::to_string).collect(),
            dest: meant.to.as_ref().map(Location::to_string).unwrap_or_default(),
            options,
            job_id: self.checkpoint.place.job_id.clone(),
        }
    }
}

/// Runs the verb. `typed` is the command line as it was typed, for the hints.
pub(super) fn run(args: &RestoreArgs, typed: &[OsString], terminal: &Terminal) -> Exit {
    let work = async |(job, op, prices): (Job, Restore, Option<Arc<Prices>>)| {
        if args.dry_run {
            let (op, plan) = RestorePlan::new(op);
            let mut finished = job.run(op).await;
            let plan = std::mem::take(&mut *plan.lock().unwrap_or_else(PoisonError::into_inner));
            finish_restore(plan, (prices.as_deref(), args.manifest.is_given()), &args.speed, &mut finished);
            return finished;
        }
        job.run(op).await
    };
    let tell = |ran, stop: &Stop, job| {
        let mut finished = finished("restore", ran, stop);
        finished.summary.job = job;
        finished.summary.restored = match (&args.to, args.wait) {
            (Some(_), _) => "restored and copied",
            (None, true) => "restored",
            (None, false) => "asked for",
        };
        let exit = tell(&args.shown, &args.sources, typed, &finished, terminal);
        (finished.summary, exit)
    };
    let prepare = async |unattended: &Unattended, stop: &Stop| prepare(args, unattended, stop, terminal).await;
    frame::run(&args.unattended, terminal, prepare, work, tell)
}

/// The buckets, and what the copies need.
struct Ready {
    sources: Vec<Source>,
    copies: Option<(Vec<CopySource>, Bucket)>,
}

/// Resolves what was typed into a job.
async fn prepare(
    args: &RestoreArgs,
    unattended: &Unattended,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<(Job, Restore, Option<Arc<Prices>>), Error> {
    let meant = args.meant()?;
    let priced = args.prices.read()?;
    let choice = args.chosen.filter()?;
    // A dry run leaves nothing behind.
    let place = if args.dry_run { Place::Nowhere } else { args.checkpoint.place.place()? };
    let concurrency = fit_open_files(args.speed.at_once.concurrency);
    let (source_end, dest_end) = args.ends.load(args.written.customer_keys()?).await?;
    let are_aws = source_end.endpoint().is_none() && (args.to.is_none() || dest_end.endpoint().is_none());
    let prices = priced.of_stores(are_aws)?;
    let identity = args.identity(&meant, (&source_end, &dest_end));
    [&source_end, &dest_end].into_iter().for_each(|end| end.name_job(&identity.short_name()));
    unattended.name_job(identity.short_name());

    let max_failures = args.checkpoint.max_failures;
    let limits = Limits {
        concurrency,
        list_concurrency: args.speed.list_concurrency,
        max_failures,
        objects: args.chosen.limit,
        strict: args.manifest.is_strict(),
    };
    let pacer = Pacer::new(args.speed.requests.bounds(concurrency, args.speed.bandwidth), stop.token.clone());
    let tiers = meant.tiers.clone();
    let Ready { mut sources, copies } = open(meant, (&source_end, &dest_end), &pacer).await?;

    let manifest = args.manifest.open(&source_end, &pacer).await?.map(Arc::new);
    let checkpoint = place.path(&identity).map(|path| std::path::absolute(&path).unwrap_or(path));
    let failures_path = if args.dry_run { None } else { args.checkpoint.failures_path(checkpoint.as_deref())? };
    unattended.refuse_files(&[failures_path.as_deref(), checkpoint.as_deref()])?;
    let plain = identity.clone();
    let claim = claim_with(Claim::new(identity, &place, args.checkpoint.mode())?, manifest.as_deref())?;
    for source in &mut sources {
        // As of the job's first start, so that a resumed job chooses the same objects.
        source.filter = choice.resolve(claim.started_at(), &source.location)?.map(Arc::new);
    }
    if !claim.is_resumed() && manifest.is_none() {
        check_objects(&sources).await?;
    }
    let is_new = !claim.is_resumed() && !args.dry_run && !args.checkpoint.retry_failed;
    if let (Some(known), true) = (&prices, is_new && priced.asks()) {
        let op = Restore::new(buckets(&sources), args.settings(&tiers, prices.clone()), None);
        let (sources, manifest, pacer) = (sources.clone(), manifest.clone(), Arc::clone(&pacer));
        Estimate { sources, manifest, prices: Arc::clone(known), op, identity: plain, pacer, limits, stop }
            .ask(terminal)
            .await?;
    }
    let settings = CopySettings {
        strict_source: args.strict_source,
        may_fall_back: args.ends.source_has_own_credentials(),
        wants: args.written.wants()?,
        keep: args.keep.keep(),
        archived: Archived::Fail,
        in_place: None,
        threshold: args.parts.multipart_threshold,
        part_size: args.parts.part_size,
        receipts: false,
        prices: prices.clone(),
        since: claim.started_at(),
        unfinished: claim.unfinished(),
    };
    let budget = ByteBudget::new(args.speed.memory);
    let copy = copies.map(|(copies, dest)| Copy::new(copies, dest, budget, settings, concurrency));
    for item in claim.abandoned() {
        if let Some(copy) = &copy {
            copy.abandon(item).await;
        }
    }
    // A dry run has its price in the plan.
    let shown = prices.clone().filter(|_| !args.dry_run);
    let meter = priced.meter(shown, args.written.wants()?.storage_class.as_deref());
    let op = Restore::new(buckets(&sources), args.settings(&tiers, prices.clone()), copy);
    let print_all_failures = args.shown.verbose > 0 || failures_path.is_none();
    let failures = FailuresFile::new(failures_path)?;
    let journal = claim.begin()?;
    let report = Report::new(args.shown.show(), terminal.clone(), print_all_failures);
    if let (Some(resumed), false) = (journal.resumed(), args.shown.quiet) {
        report.resuming(resumed.settled());
        if resumed.waiting > 0 {
            terminal.line(&format!("{} more were asked for by then, and are waited for", resumed.waiting));
        }
    }
    let (verb, receipt, stop) = ("restore", None, stop.clone());
    let job =
        Job { verb, sources, manifest, journal, checkpoint, failures, receipt, report, pacer, limits, meter, stop };
    Ok((job, op, prices))
}

pub(super) fn buckets(sources: &[Source]) -> Vec<Bucket> {
    sources.iter().map(|source| source.bucket.clone()).collect()
}

/// Opens the buckets; those of the sources tell of restores.
async fn open(meant: Meant, ends: (&Arc<End>, &Arc<End>), pacer: &Arc<Pacer>) -> Result<Ready, Error> {
    let (source_end, dest_end) = ends;
    let Some(to) = meant.to else {
        let mut sources = super::list::open(source_end, meant.sources, pacer).await?;
        sources.iter_mut().for_each(|source| source.bucket = source.bucket.clone().asking_restores());
        return Ok(Ready { sources, copies: None });
    };
    let mappings = map_sources(&meant.sources, &to, same_store(side(source_end), side(dest_end)))?;
    let (via, version_id, looks_beside) = (Via::Auto, None, true);
    let open = Open { source: source_end, dest: dest_end, pacer, via, version_id, looks_beside };
    let Opened { mut sources, copies, dest } = open.all(meant.sources, mappings, &to).await?;
    sources.iter_mut().for_each(|source| source.bucket = source.bucket.clone().asking_restores());
    Ok(Ready { sources, copies: Some((copies, dest)) })
}
