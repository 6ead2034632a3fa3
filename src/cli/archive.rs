//! The flags about archives, and what it takes to change objects in place.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::model::{Class, Error, Location, Mapping, Tier, Versioning, map_changes, map_sources, parse_duration};
use crate::op::{Archived, InPlace, Keep, RestoreSettings, Via, Waiting, Wants};
use crate::store::Bucket;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ArchivedArg {
    /// They are skipped.
    Skip,
    /// They fail, with a word on what to do.
    #[default]
    Fail,
    /// They are restored, and copied as soon as they can be read, as by s3bulk restore --to.
    Restore,
}

/// How fast, and how dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TierArg {
    /// Within 12 hours, 48 from Deep Archive; the cheapest
    Bulk,
    /// Within 5 hours, 12 from Deep Archive
    Standard,
    /// Within minutes; not from Deep Archive
    Expedited,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::Bulk => Self::Bulk,
            TierArg::Standard => Self::Standard,
            TierArg::Expedited => Self::Expedited,
        }
    }
}

pub(super) fn parse_pause(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        pause if pause < Duration::from_millis(100) => Err("it must be at least 100ms".to_owned()),
        pause => Ok(pause),
    }
}

/// The tiers that are tried, in order.
///
/// # Errors
/// [`Error::Usage`] where a tier comes behind one that is slower.
pub(super) fn tiers(args: &[TierArg]) -> Result<Vec<Tier>, Error> {
    let tiers: Vec<Tier> = args.iter().copied().map(Tier::from).collect();
    if tiers.windows(2).any(|pair| pair[0] <= pair[1]) {
        return Err(Error::Usage("of several tiers, name the fastest first, as --tier expedited,standard".to_owned()));
    }
    Ok(tiers)
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Archives")]
pub(super) struct ArchiveArgs {
    /// What becomes of archived objects that are not restored; no request is spent on them
    #[arg(long, value_enum, default_value = "fail", value_name = "CHOICE")]
    archived: ArchivedArg,
    /// With --archived restore: how long restored copies stay, in days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// With --archived restore: how fast; of several, each where the one before has no capacity
    /// [default: bulk]
    #[arg(long, value_enum, value_name = "TIER,...", value_delimiter = ',')]
    tier: Vec<TierArg>,
    /// With --archived restore: how often to look whether they can be read [default: as fits the tier]
    #[arg(long, value_name = "DURATION", value_parser = parse_pause)]
    poll_interval: Option<Duration>,
    /// Change objects in place though their bucket keeps versions: the old ones stay, and are billed
    #[arg(long)]
    allow_new_versions: bool,
}

/// What the other flags say, as far as it matters in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) via: Via,
    pub(super) keep: Keep,
    pub(super) version_id: Option<&'a str>,
    /// The objects get another SSE-C key, or none any more.
    pub(super) rekeys: bool,
}

impl ArchiveArgs {
    pub(super) fn archived(&self) -> Archived {
        match self.archived {
            ArchivedArg::Skip => Archived::Skip,
            ArchivedArg::Fail | ArchivedArg::Restore => Archived::Fail,
        }
    }

    /// How archived objects are restored, if they are.
    ///
    /// # Errors
    /// [`Error::Usage`] where it is not said for how long, or said of what is not restored.
    pub(super) fn restores(&self) -> Result<Option<RestoreSettings>, Error> {
        let refuse = |what: &str| Err(Error::Usage(what.to_owned()));
        match (self.archived, self.days) {
            (ArchivedArg::Restore, None) => {
                refuse("--archived restore needs --days N: how long restored copies stay, until all are copied")
            }
            (ArchivedArg::Restore, Some(days)) => Ok(Some(RestoreSettings {
                days,
                tiers: if self.tier.is_empty() { vec![Tier::Bulk] } else { tiers(&self.tier)? },
                strict_source: false,
                prices: None,
                waiting: Some(Waiting { poll_interval: self.poll_interval, ..Waiting::default() }),
            })),
            (_, days) if days.is_some() || !self.tier.is_empty() || self.poll_interval.is_some() => {
                refuse("--days, --tier and --poll-interval are for objects that are restored: add --archived restore")
            }
            _ => Ok(None),
        }
    }

    /// What makes another run the same job.
    pub(super) fn identity(&self, options: &mut BTreeMap<String, String>) {
        let mut put = |name: &str, value: String| drop(options.insert(name.to_owned(), value));
        match self.archived {
            ArchivedArg::Skip => put("archived", "skip".to_owned()),
            ArchivedArg::Fail => {}
            ArchivedArg::Restore => {
                put("archived", "restore".to_owned());
                self.days.into_iter().for_each(|days| put("days", days.to_string()));
                let tiers = self.tier.iter().map(|tier| Tier::from(*tier).as_str());
                put("tier", tiers.collect::<Vec<_>>().join(","));
            }
        }
    }

    /// How objects are changed, where they are written onto themselves.
    ///
    /// # Errors
    /// [`Error::Usage`] for flags that do not go with that.
    pub(super) fn in_place(
        &self,
        is_in_place: bool,
        wants: &Wants,
        asked: Asked<'_>,
    ) -> Result<Option<InPlace>, Error> {
        let refuse = |what: &str| Err(Error::Usage(what.to_owned()));
        match asked {
            _ if !is_in_place && self.allow_new_versions => {
                refuse("--allow-new-versions is for changes in place, where source and destination are the same")
            }
            _ if !is_in_place => Ok(None),
            _ if self.archived == ArchivedArg::Restore => refuse(
                "--archived restore is for copies: restore the objects with s3bulk restore --wait before they are changed \
                 in place",
            ),
            Asked { via: Via::Client, .. } => refuse(
                "--via client would send the bytes through this machine: in place, the store changes objects itself",
            ),
            Asked { keep, .. } if keep.looks_beside() => refuse(
                "--no-overwrite, --skip-existing and --skip-newer look for another object at the destination: in place, \
                 it is the source",
            ),
            Asked { version_id: Some(id), .. } => Err(Error::Usage(format!(
                "--version-id {id:?} cannot be changed in place: what is written is a new version"
            ))),
            Asked { rekeys, .. } => Ok(Some(InPlace { only_class: wants.leave_all_but_the_class() && !rekeys })),
        }
    }

    /// The same as far as the flags tell, of which a policy is made.
    pub(super) fn likely_onto_itself(&self, wants: Wants) -> Wants {
        wants.onto_itself(self.allow_new_versions)
    }

    /// What is written where objects of `bucket` are changed in place, after the bucket was asked whether it
    /// keeps versions. Objects have locks only where it does. *Source:* "Locking objects with Object Lock"
    /// of S3's user guide.
    ///
    /// # Errors
    /// [`Error::Usage`] where the old versions would stay, or may stay, and that is not allowed.
    pub(super) async fn onto_itself(&self, wants: Wants, bucket: &Bucket) -> Result<Wants, Error> {
        let name = bucket.name();
        let versioning = bucket.versioning().await;
        let stay = "the old version of each object stays, and is billed as before";
        let kept = match &versioning {
            Ok(Versioning::Never) => return Ok(wants.onto_itself(false)),
            Ok(Versioning::Enabled) => format!("the bucket {name} keeps versions: {stay}"),
            Ok(Versioning::Suspended) => format!(
                "the bucket {name} kept versions until that was suspended: what was written then stays, and is billed \
                 as before"
            ),
            // A permission of its own, or a store that does not know the question.
            Err(error) if matches!(error.class, Class::Denied | Class::Permanent | Class::Missing) => format!(
                "whether the bucket {name} keeps versions cannot be found out ({}): if it does, {stay}",
                error.code
            ),
            Err(error) => {
                return Err(Error::Unworkable(format!("{name} cannot be asked whether it keeps versions: {error}")));
            }
        };
        if !self.allow_new_versions {
            return Err(Error::Usage(format!(
                "{kept}; --allow-new-versions changes objects all the same (a lifecycle rule can expire noncurrent \
                 versions)"
            )));
        }
        // Nothing is suspended in a bucket that has locks.
        Ok(wants.onto_itself(versioning != Ok(Versioning::Suspended)))
    }
}

/// What becomes of the keys: onto themselves only where that changes something.
pub(super) fn map_copies(
    sources: &[Location],
    dest: &Location,
    same_store: bool,
    changes: bool,
) -> Result<Vec<Mapping>, Error> {
    if changes { map_changes(sources, dest, same_store) } else { map_sources(sources, dest, same_store) }
}

/// Whether objects are written onto themselves.
pub(super) fn are_in_place(mappings: &[Mapping]) -> bool {
    mappings.iter().any(Mapping::is_in_place)
}
