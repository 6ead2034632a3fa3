//! How many requests a second a range of keys may be sent, learned from what the server answers. Pure.
//!
//! While the server asks for nothing, there is no limit. Where more answers than [`TOLERATED`] ask to
//! slow down, the limit becomes what the server did accept, and grows again: slowly at first, since the
//! server's own limit is near, then faster, since that may have moved.

use std::time::Duration;

use super::cap::Tokens;

/// The part of the answers that may ask to slow down: S3 answers so now and then at any load.
const TOLERATED: f64 = 0.02;

/// Standard deviations above it that are still chance.
const CHANCE: f64 = 3.0;

/// A cut is made at once where so many answers ask for it, and more than such a part of all.
const SUDDEN: (u32, f64) = (10, 0.3);

/// So much below what was accepted a limit is set.
const BELOW: f64 = 0.96;

/// The most that one cut takes away, where it is known what is accepted and where not.
const DEEPEST: f64 = 0.1;
const BLIND: f64 = 0.5;
/// The same where the answers are few too many.
const GENTLE: f64 = 0.7;

/// Before it is known what a cut has brought, none follows.
const BETWEEN: Duration = Duration::from_millis(100);

/// So many accepted requests tell a rate.
const TELLING: u32 = 16;

/// The shortest time that a rate is told by.
const SHORTEST: Duration = Duration::from_millis(10);

/// The lowest limit, in requests/s.
const LOWEST: f64 = 0.5;

/// Where so much lower a rate is accepted in the same part, or nearly, the rate is not the reason:
/// that part is tolerated for a while, and somewhat more. So many answers tell it.
const LOWER: f64 = 0.6;
const SAME: f64 = 1.15;
const ENOUGH: u32 = 100;
const ABOVE_FLOOR: f64 = 1.3;
const BELIEVED: Duration = Duration::from_secs(60);
/// More than this is never tolerated.
const HIGHEST_FLOOR: f64 = 0.4;
/// What is accepted in the beginning may have been saved up by the server.
const SETTLED: Duration = Duration::from_millis(500);

/// What is remembered.
const WINDOW: Duration = Duration::from_secs(1);
/// In such slots.
const SLOT: Duration = Duration::from_millis(50);
const SLOTS: usize = 20;

/// How often a limit grows, and how much a second in the first 6 s after a cut, the first 12 s, and later.
const STEP: Duration = Duration::from_millis(100);
const GROWTH: [(Duration, f64); 2] = [(Duration::from_secs(6), 0.012), (Duration::from_secs(12), 0.06)];
const LATER: f64 = 0.25;
/// How much it grows a second after a cut that was made blindly; and after another one, by how little was
/// known then.
const REGROWTH: f64 = 3.0;
const BY_ERROR: f64 = 0.5;
const UNSURE: f64 = 0.6;
/// How much it grows a second while it is well below what was accepted not long ago.
const CATCH_UP: f64 = 0.1;
const WELL_BELOW: f64 = 0.95;
/// What is left at a cut of what was accepted before.
const FADE: f64 = 0.9;

/// A limit that nobody has waited at for so long is none.
const UNNEEDED: Duration = Duration::from_secs(20);

/// What was answered in one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    slot: u64,
    accepted: u32,
    throttled: u32,
}

/// A limit of requests/s. Times are those since the run began.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// `None` while there is none.
    tokens: Option<Tokens>,
    answers: [Answers; SLOTS],
    /// When it was last cut: answers to what was sent before say nothing new.
    cut: Duration,
    /// How well the limit was known then, as a part of it; `None` if it was made blindly.
    error: Option<f64>,
    /// What it may grow back to quickly after a blind cut, in requests/s.
    goal: f64,
    /// What was accepted not long ago, in requests/s.
    known: f64,
    /// When there was first one.
    found: Duration,
    /// Before the first cut of a row: requests/s, and the part that was accepted.
    reference: Option<(f64, f64)>,
    /// What was accepted and throttled since at lower rates.
    lower: (u32, u32),
    /// The part that is throttled whatever the rate, and until when that is believed.
    floor: (f64, Duration),
    /// When the first answer came after it.
    first: Option<Duration>,
    grown: Duration,
    /// When somebody last had to wait at it.
    waited: Duration,
}

impl Limit {
    /// Requests/s; `None` where there is no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        self.tokens.as_ref().map(Tokens::rate)
    }

    /// Takes one request, or says how long to wait before the next try.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let taken = self.tokens.as_mut().map_or(Ok(()), |tokens| tokens.take(now, 1.0));
        if taken.is_err() {
            self.waited = now;
        }
        taken
    }

    /// Takes an answer in: whether it asks to slow down, to a request that was sent at `sent`. Whether the
    /// limit was cut.
    pub(super) fn answered(&mut self, now: Duration, sent: Duration, throttled: bool) -> bool {
        if sent < self.cut {
            return false;
        }
        self.first.get_or_insert(now);
        let slot = slot(now);
        let answers = &mut self.answers[usize::try_from(slot % SLOTS as u64).unwrap_or_default()];
        if answers.slot != slot {
            *answers = Answers { slot, ..Answers::default() };
        }
        if throttled {
            answers.throttled += 1;
            return self.cut(now);
        }
        answers.accepted += 1;
        self.grow(now);
        false
    }

    /// Begins with a limit that is known: the part of another one.
    pub(super) fn begin(&mut self, now: Duration, rate: f64) {
        self.set(now, rate);
        (self.cut, self.grown, self.waited, self.error) = (now, now, now, Some(0.0));
    }

    /// The limit was found for less than it is now for.
    pub(super) fn doubt(&mut self) {
        if let Some(error) = &mut self.error {
            *error = error.max(UNSURE);
        }
    }

    fn cut(&mut self, now: Duration) -> bool {
        let since = self.cut.max(now.saturating_sub(WINDOW));
        let recent = self.answers.iter().filter(|answers| answers.slot >= slot(since));
        let (accepted, throttled) =
            recent.fold((0, 0), |sum, answers| (sum.0 + answers.accepted, sum.1 + answers.throttled));
        let (all, no) = (f64::from(accepted + throttled), f64::from(throttled));
        let floor = if now < self.floor.1 { self.floor.0 * ABOVE_FLOOR } else { 0.0 };
        let tolerated = TOLERATED.max(floor) * all;
        let sudden = throttled >= SUDDEN.0 && no > SUDDEN.1.max(floor) * all;
        if !sudden && no <= tolerated + CHANCE * tolerated.sqrt() + 2.0 {
            return false;
        }
        let since = since.max(self.first.unwrap_or(now));
        let seconds = now.saturating_sub(since).max(SHORTEST).as_secs_f64();
        let sent = all / seconds;
        let is_first = self.rate().is_none();
        if is_first {
            self.found = now;
        }
        if now.saturating_sub(self.found) > SETTLED && self.is_no_help(now, sent, accepted, throttled) {
            return false;
        }
        let before = self.rate().unwrap_or(all / seconds).min(all / seconds * 2.0);
        if self.rate().is_some() && now.saturating_sub(self.cut) < BETWEEN {
            return false;
        }
        let is_blind = accepted < TELLING.min(throttled * 2);
        let rate = if is_blind {
            (f64::from(2 * (accepted + 1)) / seconds).clamp(before * DEEPEST, before * BLIND)
        } else {
            (f64::from(accepted) / seconds * BELOW)
                .clamp(before * if sudden { DEEPEST } else { GENTLE }, before * BELOW)
        };
        self.goal = match (is_blind, self.error) {
            (true, None) => self.goal,
            (true, Some(_)) => self.goal / 2.0,
            (false, _) => rate,
        };
        if !is_first && !is_blind {
            self.known = (f64::from(accepted) / seconds).max(self.known * FADE);
        }
        let error = f64::from(accepted).sqrt().recip() + SHORTEST.as_secs_f64() / seconds;
        // While the run gets going, less is accepted than could be.
        self.error = (!is_blind).then_some(if is_first { error.max(UNSURE) } else { error });
        self.set(now, rate.max(LOWEST));
        (self.cut, self.grown, self.waited, self.first) = (now, now, now, None);
        self.answers = Default::default();
        true
    }

    /// Whether cuts have brought nothing: what is tolerated is then more, and the limit what it was.
    fn is_no_help(&mut self, now: Duration, sent: f64, accepted: u32, throttled: u32) -> bool {
        let part = |accepted: u32, throttled: u32| f64::from(accepted) / f64::from(accepted + throttled);
        let Some((rate, before)) = self.reference else {
            if accepted + throttled >= TELLING {
                (self.reference, self.lower) = (Some((sent, part(accepted, throttled))), (0, 0));
            }
            return false;
        };
        if sent >= rate * LOWER {
            return false;
        }
        self.lower = (self.lower.0 + accepted, self.lower.1 + throttled);
        if self.lower.0 + self.lower.1 < ENOUGH {
            return false;
        }
        let part = part(self.lower.0, self.lower.1);
        (self.reference, self.lower) = (None, (0, 0));
        let is_same = part < before * SAME && part > before / SAME && 1.0 - part < HIGHEST_FLOOR;
        if is_same {
            self.floor = (1.0 - part, now + BELIEVED);
            self.begin(now, rate);
        }
        is_same
    }

    fn grow(&mut self, now: Duration) {
        let Some(rate) = self.rate() else { return };
        let step = now.saturating_sub(self.grown);
        if step < STEP {
            return;
        }
        self.grown = now;
        if now.saturating_sub(self.cut) > WINDOW * 15 {
            self.reference = None;
        }
        let idle = now.saturating_sub(self.waited);
        if idle > UNNEEDED {
            self.tokens = None;
        } else if idle <= STEP * 2 {
            let since = now.saturating_sub(self.cut);
            let later = || GROWTH.iter().find(|(until, _)| since < *until).map_or(LATER, |(_, growth)| *growth);
            if rate >= self.goal {
                self.error.get_or_insert(UNSURE);
            }
            let catch_up = if rate < self.known * WELL_BELOW { CATCH_UP } else { 0.0 };
            let growth = self.error.map_or(REGROWTH, |error| later().max(error * BY_ERROR).max(catch_up));
            self.set(now, rate * (1.0 + growth * step.min(WINDOW).as_secs_f64()));
        }
    }

    fn set(&mut self, now: Duration, rate: f64) {
        match &mut self.tokens {
            Some(tokens) => tokens.set_rate(now, rate),
            None => self.tokens = Some(Tokens::new(now, rate)),
        }
    }
}

fn slot(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that accepts so many requests a second, told by the time, with a little burst.
    struct Server<F> {
        limit: F,
        tokens: f64,
        last: Duration,
    }

    impl<F: Fn(f64) -> f64> Server<F> {
        fn new(limit: F) -> Self {
            Self { limit, tokens: 20.0, last: Duration::ZERO }
        }

        fn throttles(&mut self, now: Duration) -> bool {
            let limit = (self.limit)(now.as_secs_f64());
            self.tokens = (self.tokens + (now - self.last).as_secs_f64() * limit).min(20.0);
            self.last = now;
            let throttles = self.tokens < 1.0;
            self.tokens -= if throttles { 0.0 } else { 1.0 };
            throttles
        }
    }

    /// Accepted and throttled requests/s from `from` to `until` seconds: a client that would send
    /// `demand` requests/s, each answered 20 ms later.
    fn run(limit: impl Fn(f64) -> f64, demand: f64, from: f64, until: f64, noise: f64) -> (f64, f64) {
        let (mut server, mut ours) = (Server::new(limit), Limit::default());
        let (mut accepted, mut throttled) = (0.0, 0.0);
        let mut answers = std::collections::VecDeque::new();
        let mut random = 7_u64;
        let step = Duration::from_secs_f64(1.0 / demand);
        let mut now = Duration::ZERO;
        while now.as_secs_f64() < until {
            now += step;
            while let Some((at, sent, throttles)) = answers.pop_front() {
                if at > now {
                    answers.push_front((at, sent, throttles));
                    break;
                }
                ours.answered(at, sent, throttles);
            }
            if answers.len() >= 64 || ours.take(now).is_err() {
                continue;
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let by_chance = (random >> 33) as f64 / f64::from(1_u32 << 31) < noise;
            let throttles = by_chance || server.throttles(now);
            answers.push_back((now + Duration::from_millis(20), now, throttles));
            if now.as_secs_f64() >= from {
                *(if throttles { &mut throttled } else { &mut accepted }) += 1.0;
            }
        }
        (accepted / (until - from), throttled / (until - from))
    }

    #[test]
    fn a_limit_of_the_server_is_used_up_with_little_waste() {
        for limit in [200.0, 1_000.0, 3_000.0] {
            let (accepted, throttled) = run(|_| limit, 8_000.0, 0.0, 20.0, 0.0);
            assert!(accepted > limit * 0.95, "{limit}: {accepted}");
            // What was in flight before the first answer.
            assert!(throttled * 20.0 < limit * 20.0 * 0.02 + 250.0, "{limit}: {throttled}");
        }
    }

    #[test]
    fn a_few_throttles_at_any_load_cost_nothing() {
        let (accepted, _) = run(|_| 1e9, 5_000.0, 0.0, 20.0, 0.01);
        assert!(accepted > 3_100.0, "{accepted}");
    }

    #[test]
    fn what_is_throttled_at_any_rate_does_not_slow_down() {
        for noise in [0.05, 0.15, 0.2] {
            let (accepted, _) = run(|_| 1e9, 5_000.0, 5.0, 60.0, noise);
            assert!(accepted > 3_200.0 * (1.0 - noise) * 0.7, "{noise}: {accepted}");
        }
        let (accepted, throttled) = run(|_| 1_000.0, 5_000.0, 5.0, 60.0, 0.1);
        assert!(accepted > 850.0 && throttled < 250.0, "{accepted} {throttled}");
    }

    #[test]
    fn a_limit_that_rises_slowly_is_followed() {
        let (accepted, throttled) = run(|now| 1_000.0 + 20.0 * now, 8_000.0, 40.0, 60.0, 0.0);
        assert!(accepted > 1_900.0 && throttled < 80.0, "{accepted} {throttled}");
    }

    #[test]
    fn a_limit_that_falls_is_followed() {
        let (accepted, throttled) = run(|now| if now < 10.0 { 3_000.0 } else { 500.0 }, 8_000.0, 12.0, 30.0, 0.0);
        assert!(accepted > 460.0 && throttled < 25.0, "{accepted} {throttled}");
    }

    #[test]
    fn a_limit_that_goes_away_is_forgotten() {
        let (accepted, _) = run(|now| if now < 5.0 { 500.0 } else { 1e9 }, 4_000.0, 60.0, 80.0, 0.0);
        assert!(accepted > 3_100.0, "{accepted}");
    }

    #[test]
    fn a_server_that_counts_by_the_second_is_found_out() {
        let mut counted = (0_u64, 0_u32);
        let (mut ours, mut accepted, mut throttled) = (Limit::default(), 0.0, 0.0);
        let step = Duration::from_micros(200);
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(30) {
            now += step;
            if ours.take(now).is_err() {
                continue;
            }
            if counted.0 != now.as_secs() {
                counted = (now.as_secs(), 0);
            }
            counted.1 += 1;
            let throttles = counted.1 > 1_000;
            *(if throttles { &mut throttled } else { &mut accepted }) += 1.0;
            ours.answered(now, now, throttles);
        }
        assert!(accepted > 24_000.0 && throttled < 2_400.0, "{accepted} {throttled}");
    }
}
