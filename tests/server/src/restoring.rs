//! How restores go on by themselves: worked out when an object is looked at, from when its restore was
//! asked for.

use std::time::{Duration, SystemTime};

use crate::checksum;
use crate::config::Config;
use crate::object::{Object, Restore};
use crate::random::SplitMix;

/// How long restores take, and how long what they bring back stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Restoring {
    after: Option<Duration>,
    kept: Option<Duration>,
}

impl Restoring {
    pub(crate) fn new(config: &Config) -> Restoring {
        Restoring { after: config.restore_after, kept: config.restored_for }
    }

    /// When a copy goes away that was asked for so many days and is there since `since`.
    pub(crate) fn expiry(self, since: SystemTime, days: u32) -> SystemTime {
        since + self.kept.unwrap_or_else(|| Duration::from_secs(u64::from(days) * 24 * 60 * 60))
    }

    /// How far the restore of an object is by `now`.
    pub(crate) fn state(self, key: &str, object: &Object, now: SystemTime) -> Option<Restore> {
        let state = match (&object.restore, &object.restore_request, self.after) {
            (Some(Restore::InProgress { days }), Some(request), Some(after)) => {
                let finished = request.at + delay(key, after);
                if finished > now {
                    return object.restore.clone();
                }
                days.map(|days| Restore::Restored { expiry: self.expiry(finished, days) })
            }
            (state, _, _) => state.clone(),
        };
        state.filter(|state| !matches!(state, Restore::Restored { expiry } if *expiry <= now))
    }

    /// The object as it is by `now`, where its restore has gone on.
    pub(crate) fn settled(self, key: &str, object: &Object, now: SystemTime) -> Option<Object> {
        let state = self.state(key, object, now);
        (state != object.restore).then(|| object.clone().with_restore(state))
    }

    /// The object as it is when its restore has finished at `now`, where there is one in progress.
    pub(crate) fn finished(self, object: &Object, now: SystemTime) -> Option<Object> {
        let Some(Restore::InProgress { days }) = object.restore else { return None };
        let state = days.map(|days| Restore::Restored { expiry: self.expiry(now, days) });
        Some(object.clone().with_restore(state))
    }
}

impl Object {
    /// Without a state, objects in archive tiers have moved back for good.
    fn with_restore(self, restore: Option<Restore>) -> Object {
        let moves_back = matches!(self.restore, Some(Restore::InProgress { days: None }));
        let archive_status = self.archive_status.filter(|_| !moves_back);
        Object { restore, restore_request: None, archive_status, ..self }
    }
}

/// How long the restore of the object under this key takes.
fn delay(key: &str, most: Duration) -> Duration {
    let spread = SplitMix(checksum::of(key.as_bytes())).next_f64();
    most.mul_f64(0.5 + spread / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{RestoreRequest, now};

    const AFTER: Duration = Duration::from_secs(100);

    fn cold(days: Option<u32>) -> Object {
        let restore_request = Some(RestoreRequest { at: now(), tier: "Bulk".to_owned() });
        let object = Object::new("x").storage_class("GLACIER");
        Object { restore: Some(Restore::InProgress { days }), restore_request, ..object }
    }

    #[test]
    fn restores_take_from_half_of_the_time_to_all_of_it() {
        let delays: Vec<Duration> = (0..1000).map(|number| delay(&format!("key-{number}"), AFTER)).collect();
        assert!(delays.iter().all(|delay| (AFTER / 2..=AFTER).contains(delay)));
        let early = delays.iter().filter(|delay| **delay < AFTER * 3 / 4).count();
        assert!((400..600).contains(&early), "{early}");
        assert_eq!(delay("key-7", AFTER), delays[7]);
    }

    #[test]
    fn restored_copies_come_and_go() {
        let restoring = Restoring { after: Some(AFTER), kept: Some(AFTER) };
        let (object, begun) = (cold(Some(3)), now());
        assert_eq!(restoring.settled("k", &object, begun + AFTER / 3), None);
        let there = restoring.settled("k", &object, begun + AFTER).unwrap();
        assert_eq!(there.restore, Some(Restore::Restored { expiry: begun + delay("k", AFTER) + AFTER }));
        assert_eq!(restoring.settled("k", &there, begun + 2 * AFTER).unwrap().restore, None);
        assert_eq!(restoring.settled("k", &object, begun + 2 * AFTER).unwrap().restore, None);
        assert_eq!(Restoring::default().settled("k", &object, begun + 9 * AFTER), None);
    }

    #[test]
    fn archive_tiers_are_left_for_good() {
        let tiered = Object { archive_status: Some("ARCHIVE_ACCESS".to_owned()), ..cold(None) };
        let restoring = Restoring { after: Some(AFTER), kept: None };
        let back = restoring.settled("k", &tiered, now() + AFTER).unwrap();
        assert_eq!((back.restore, back.archive_status), (None, None));
    }
}
