//! What is done about an archived object, by what is known of it, and when it is looked at again. Pure.

use std::time::Duration;

use super::Look;
use crate::model::{Access, Skip, Tier};

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// What a restore is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// It is asked for.
    Ask,
    /// It is waited for.
    Wait,
    /// The object is copied.
    Copy,
}

/// What is done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is nothing to do.
    Skip(Skip),
    /// It was looked at before, and can be read.
    Readable,
    /// It was looked at before, and there is nothing to do.
    Pass,
    /// Its restore is asked for.
    Ask,
    /// Its restore is under way.
    Wait,
    /// It is copied.
    Copy,
    /// It has to be asked for what the listing does not tell.
    Head,
}

/// What is known when an object is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) access: Access,
    /// It was looked at before, in this job.
    pub(super) again: bool,
    /// Whether that it is archived comes from who must know: a HEAD, or a listing that tells of restores.
    pub(super) is_sure: bool,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// How long a restored copy has to stay, in seconds, so that it is not asked for again: one that was
/// restored for so many days stays a little less when the same command runs a second time. A quarter less
/// will do, and a day at most. Chosen, not measured.
fn enough(days: u32) -> i64 {
    let asked = i64::from(days) * DAY;
    asked - (asked / 4).min(DAY)
}

/// What is done about an object that was `seen`, where it is to be readable for `days`.
pub(super) fn step(aim: Aim, seen: Seen, days: u32) -> Step {
    let copies = aim == Aim::Copy;
    match seen.access {
        Access::Unknown => Step::Head,
        Access::Always | Access::Restored(_) if copies => Step::Copy,
        Access::Restored(_) if seen.again => Step::Readable,
        // A HEAD was needed: it is one of those that were in an archive tier, perhaps.
        Access::Always if seen.again && seen.is_sure => Step::Readable,
        Access::Always if seen.again => Step::Pass,
        Access::Always => Step::Skip(Skip::NotArchived),
        Access::Restored(until) if until.saturating_sub(seen.now) >= enough(days) => Step::Skip(Skip::Restored),
        Access::Restored(_) => Step::Ask,
        Access::Restoring if aim == Aim::Ask => Step::Skip(Skip::Restoring),
        Access::Restoring => Step::Wait,
        Access::Archived if !seen.again => Step::Ask,
        // Its restore shows in another place, perhaps.
        Access::Archived if !seen.is_sure => Step::Head,
        Access::Archived if copies => Step::Ask,
        // It is archived again, or was replaced, or could not be restored.
        Access::Archived => Step::Pass,
    }
}

/// Those of the `named` tiers that there are for objects of a class. *Source:* "Understanding archive
/// retrieval options" of S3's user guide: no expedited restores from Deep Archive.
pub(super) fn tiers_of<'a>(class: Option<&str>, named: &'a [Tier]) -> &'a [Tier] {
    match (class, named) {
        (Some("DEEP_ARCHIVE"), [Tier::Expedited, rest @ ..]) => rest,
        _ => named,
    }
}

/// The shortest pause between two looks, and the longest for a tier. *Source:* "Understanding archive
/// retrieval options" of S3's user guide says how long restores take (5 minutes, 12 hours, 48 hours at
/// most); a look is late by one pause.
const SHORTEST: Duration = Duration::from_secs(30);

fn longest(tier: Tier) -> Duration {
    Duration::from_secs(
        60 * match tier {
            Tier::Expedited => 1,
            Tier::Standard => 10,
            Tier::Bulk => 30,
        },
    )
}

/// How long to wait until the next look, `asked` after the restores were asked for: an eighth of that,
/// half of it where restores are coming, and so long that looking takes a tenth of the time at most.
pub(super) fn pause(tier: Tier, asked: Duration, last: Look) -> Duration {
    let share = if last.progressed { 16 } else { 8 };
    (asked / share).clamp(SHORTEST, longest(tier)).max(last.took.saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn first(aim: Aim, access: Access) -> Step {
        step(aim, Seen { access, again: false, is_sure: false, now: NOW }, 7)
    }

    fn again(aim: Aim, access: Access) -> Step {
        step(aim, Seen { access, again: true, is_sure: true, now: NOW }, 7)
    }

    #[test]
    fn what_is_archived_is_asked_for_once() {
        for aim in [Aim::Ask, Aim::Wait, Aim::Copy] {
            assert_eq!(first(aim, Access::Archived), Step::Ask);
            assert_eq!(first(aim, Access::Unknown), Step::Head);
        }
        assert_eq!(first(Aim::Ask, Access::Restoring), Step::Skip(Skip::Restoring));
        assert_eq!(first(Aim::Wait, Access::Restoring), Step::Wait);
        assert_eq!(again(Aim::Wait, Access::Restoring), Step::Wait);
        assert_eq!(again(Aim::Wait, Access::Archived), Step::Pass);
        let unsure = Seen { access: Access::Archived, again: true, is_sure: false, now: NOW };
        assert_eq!(step(Aim::Wait, unsure, 7), Step::Head);
    }

    #[test]
    fn a_restored_copy_has_to_last() {
        let week = NOW + 7 * DAY;
        assert_eq!(first(Aim::Ask, Access::Restored(week)), Step::Skip(Skip::Restored));
        assert_eq!(first(Aim::Ask, Access::Restored(week - DAY)), Step::Skip(Skip::Restored));
        assert_eq!(first(Aim::Ask, Access::Restored(week - DAY - 1)), Step::Ask);
        assert_eq!((enough(1), enough(2)), (DAY * 3 / 4, DAY * 3 / 2));
        assert_eq!(first(Aim::Copy, Access::Restored(NOW + 1)), Step::Copy);
        assert_eq!(again(Aim::Copy, Access::Archived), Step::Ask, "it went away before its copy");
    }

    #[test]
    fn what_can_be_read_is_copied_or_left_alone() {
        assert_eq!(first(Aim::Copy, Access::Always), Step::Copy);
        assert_eq!(first(Aim::Wait, Access::Always), Step::Skip(Skip::NotArchived));
        assert_eq!(again(Aim::Wait, Access::Restored(NOW + 1)), Step::Readable);
    }

    #[test]
    fn there_are_no_expedited_restores_from_deep_archive() {
        let both = [Tier::Expedited, Tier::Standard];
        assert_eq!(tiers_of(Some("DEEP_ARCHIVE"), &both), [Tier::Standard]);
        assert_eq!(tiers_of(Some("DEEP_ARCHIVE"), &both[..1]), []);
        assert_eq!(tiers_of(Some("GLACIER"), &both), both);
    }

    #[test]
    fn looks_become_rare_and_follow_the_tier() {
        let idle = Look { took: Duration::from_secs(1), progressed: false };
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(pause(Tier::Bulk, minutes(1), idle), SHORTEST);
        assert_eq!(pause(Tier::Bulk, minutes(80), idle), minutes(10));
        assert_eq!(pause(Tier::Bulk, minutes(6_000), idle), minutes(30));
        assert_eq!(pause(Tier::Expedited, minutes(6_000), idle), minutes(1));
        assert_eq!(pause(Tier::Bulk, minutes(80), Look { progressed: true, ..idle }), minutes(5));
        assert_eq!(pause(Tier::Expedited, minutes(1), Look { took: minutes(2), ..idle }), minutes(20));
    }
}
