//! What a job is estimated to have cost so far. Pure.

use std::sync::Arc;

use crate::model::{Money, Prices, Requests, STANDARD, Spent};

/// Adds up what is spent: what the items that are done have cost, and the requests that belong to none of
/// them (listings, and all that was sent again or for nothing). These are recorded with the next item that
/// is done: what a killed run sent after its last is not known to the next.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    prices: Option<Arc<Prices>>,
    /// The class that is written, for requests of which no item tells it.
    writes: String,
    /// The run ends when this is spent.
    most: Option<Money>,
    /// By earlier runs of the job.
    earlier: Money,
    /// By the items that are done.
    billed: Spent,
    /// What the outcomes of this run were given to record.
    recorded: Money,
}

impl Meter {
    /// By these prices. `writes` is the class of what is written, and `most` what the job may cost.
    pub fn new(prices: Option<Arc<Prices>>, writes: Option<&str>, most: Option<Money>) -> Self {
        Self { prices, writes: writes.unwrap_or(STANDARD).to_owned(), most, ..Self::default() }
    }

    /// Goes on from what earlier runs of the job have spent.
    pub(super) fn resume(&mut self, earlier: Money) {
        self.earlier = earlier;
    }

    /// Takes in an item that is done. Gives back what is to be recorded with it: all that was spent since the
    /// last.
    pub(super) fn ended(&mut self, spent: &Spent, sent: &Requests) -> Money {
        self.billed.money += spent.money;
        self.billed.requests.add_all(&spent.requests);
        let fresh = self.of_this_run(sent).less(self.recorded);
        self.recorded += fresh;
        fresh
    }

    /// What this run has spent, when so many requests were `sent`.
    fn of_this_run(&self, sent: &Requests) -> Money {
        let Some(prices) = &self.prices else { return Money::ZERO };
        let others = sent.beyond(&self.billed.requests);
        // What was recorded of requests under way may turn out less.
        self.recorded.max(self.billed.money + prices.requests(&others, (STANDARD, &self.writes)))
    }

    /// What the job has spent; `None` where there are no prices.
    pub(super) fn spent(&self, sent: &Requests) -> Option<Money> {
        self.prices.as_ref().map(|_| self.earlier + self.of_this_run(sent))
    }

    /// Whether all is spent that may be.
    pub(super) fn is_spent(&self, sent: &Requests) -> bool {
        self.most.is_some_and(|most| self.spent(sent).is_some_and(|spent| spent >= most))
    }

    /// Whether so much more may be begun.
    pub(super) fn allows(&self, sent: &Requests, more: Money) -> bool {
        self.most.is_none_or(|most| self.spent(sent).is_none_or(|spent| spent + more <= most))
    }

    /// The prices.
    pub(super) fn prices(&self) -> Option<&Prices> {
        self.prices.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn meter(most: Option<Money>) -> Meter {
        Meter::new(Some(Arc::new(Prices::built_in().unwrap())), Some("DEEP_ARCHIVE"), most)
    }

    fn sent(lists: u64, copies: u64) -> Requests {
        let mut requests = Requests::default();
        requests.add(Operation::ListObjectsV2, lists);
        requests.add(Operation::CopyObject, copies);
        requests
    }

    fn copy(text: &str) -> Spent {
        Spent { money: money(text), requests: Requests::of(&[Operation::CopyObject]) }
    }

    #[test]
    fn requests_count_when_they_are_sent_and_once() {
        let mut meter = meter(None);
        assert_eq!(meter.spent(&sent(1, 0)), Some(money("0.000005")));
        // Two are under way.
        assert_eq!(meter.spent(&sent(1, 2)), Some(money("0.000105")));
        let first = meter.ended(&copy("0.001"), &sent(1, 2));
        assert_eq!(first, money("0.001055"), "its own cost, the listing, and the one under way");
        assert_eq!(meter.ended(&copy("0.001"), &sent(1, 2)), money("0.00095"));
        assert_eq!(meter.spent(&sent(1, 2)), Some(money("0.002005")));
        // One is sent again.
        assert_eq!(meter.spent(&sent(1, 3)), Some(money("0.002055")));
    }

    #[test]
    fn what_was_recorded_is_never_taken_back() {
        let mut meter = meter(None);
        meter.ended(&copy("0.00005"), &sent(0, 100));
        let before = meter.spent(&sent(0, 100)).unwrap();
        // Cheaper than it was thought to be while it was under way.
        let many = Spent { money: Money::ZERO, requests: sent(0, 99) };
        assert_eq!(meter.ended(&many, &sent(0, 100)), Money::ZERO);
        assert_eq!(meter.spent(&sent(0, 100)), Some(before));
    }

    #[test]
    fn earlier_runs_count_against_the_limit() {
        let mut meter = meter(Some(money("0.01")));
        assert!(!meter.is_spent(&sent(1, 0)));
        meter.resume(money("0.0099"));
        assert!(!meter.is_spent(&sent(1, 1)) && meter.is_spent(&sent(1, 2)));
        assert!(meter.spent(&sent(0, 0)) == Some(money("0.0099")));
    }

    proptest::proptest! {
        #[test]
        fn what_is_recorded_adds_up_to_what_is_spent(
            steps in proptest::collection::vec((0..5u64, 0..3u64, 0..200_000_000u64), 1..50),
        ) {
            let (mut meter, mut all, mut before, mut recorded) = (meter(None), sent(0, 0), Money::ZERO, Money::ZERO);
            for (copies, lists, price) in steps {
                all.add_all(&sent(lists, copies));
                let of_it = Spent { money: Money::dollars(price).times(1, 1_000_000_000_000), requests: sent(0, copies) };
                recorded += meter.ended(&of_it, &all);
                let now = meter.spent(&all).unwrap();
                proptest::prop_assert!(now >= before && recorded == now);
                before = now;
            }
        }
    }

    #[test]
    fn without_prices_nothing_is_said() {
        let mut meter = Meter::new(None, None, Some(money("0.01")));
        assert_eq!(meter.ended(&copy("5"), &sent(1, 1)), Money::ZERO);
        assert_eq!((meter.spent(&sent(9, 9)), meter.is_spent(&sent(9, 9))), (None, false));
    }
}
