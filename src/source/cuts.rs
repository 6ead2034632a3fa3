//! Which ranges are cut, into how many parts, and a first guess at where. Pure.

use super::share::Left;
use super::survey::LEAST_PAGES;

/// Requests that may find no place to cut at: a handful in any listing, one more for so many pages,
/// and so many while it is found out how the keys lie.
const HANDFUL: f64 = 4.0;
const PAGES_FOR_A_PROBE: f64 = 3.0;
const PROBES: f64 = 80.0;

/// What a cut costs: half a page that is listed twice.
const CUT: f64 = 0.5;

/// How many pages pay for one request that the cuts cost: some 7% more requests.
const PAGES_FOR_ONE: f64 = 15.0;

/// What is thought to be left pays, too, as far as so many times what was seen: a few pages say
/// little. And no more than so many pages do: it may be wrong.
const TRUST: f64 = 16.0;
const TRUSTED_PAGES: f64 = 80.0;

/// What a look at a range may cost beside that, where it is not known where its keys are.
const LOOK: f64 = 3.0;

/// An estimate of so many times the pages that were seen is not believed without a look.
const BELIEVED: f64 = 12.0;

/// Whether `left` pages may well be left in a range, where `pages` were listed in all.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn is_believed(left: f64, pages: u64) -> bool {
    left <= BELIEVED * pages as f64
}

/// What may be done with one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The range: its index among those that are shared out.
    pub range: usize,
    /// Cuts that are wanted.
    pub cuts: usize,
    /// Requests that may be spent on it.
    pub requests: usize,
}

/// Which ranges are cut first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with most left.
    Largest,
    /// The first ones, into parts of so many pages.
    First(u32),
}

/// What a listing has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Pages that were listed.
    pub pages: u64,
    /// Requests that found no place to cut at, and those that may.
    pub probes: u64,
    /// Cuts that were made.
    pub cuts: u64,
}

/// Into how many parts more to cut which of the ranges, of which `left` says what is left. There are
/// `idle` tasks for them.
#[allow(clippy::cast_precision_loss, reason = "estimates")]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few requests")]
pub fn share_out(left: &[Left], idle: usize, cost: Cost, order: Order) -> Vec<Task> {
    let total: f64 = left.iter().map(|left| left.pages).sum();
    let seen = cost.pages as f64;
    let mut probes = HANDFUL + (seen / PAGES_FOR_A_PROBE).min(PROBES) - cost.probes as f64;
    let trusted = total.min(TRUST * seen).min(TRUSTED_PAGES);
    let mut allowed = HANDFUL + (seen + trusted) / PAGES_FOR_ONE - CUT * cost.cuts as f64;
    let least = match order {
        Order::Largest => LEAST_PAGES,
        Order::First(pages) => f64::from(pages),
    };
    let look = |range: usize| if left[range].is_sure { 0.0 } else { LOOK };
    let mut cuts = vec![0_usize; left.len()];
    let part = |cuts: &[usize], range: usize| left[range].pages / (cuts[range] as f64 + 1.0);
    let has_room = |cuts: &[usize], range: usize| left[range].pages >= least * (cuts[range] as f64 + 2.0);
    for _ in 0..idle {
        let candidates = (0..left.len()).filter(|range| has_room(&cuts, *range));
        let next = match order {
            Order::Largest => candidates.max_by(|a, b| part(&cuts, *a).total_cmp(&part(&cuts, *b))),
            Order::First(_) => candidates.min(),
        };
        let Some(range) = next else { break };
        // Each may find nothing.
        let asks = if cuts[range] == 0 { 1.0 + look(range) } else { 1.0 };
        if asks > probes || CUT > allowed {
            break;
        }
        (probes, allowed) = (probes - asks, allowed - CUT);
        cuts[range] += 1;
    }
    let task = |(range, cuts)| Task { range, cuts, requests: cuts + look(range) as usize };
    cuts.into_iter().enumerate().filter(|(_, cuts)| *cuts > 0).map(task).collect()
}

/// At most `ranges - 1` cuts for the keys behind `after` and up to `until`, taken evenly from
/// `folders`: neighbours are merged where there are more of them.
///
/// A cut is the folder's own name: the range up to it ends before the folder's content.
pub(super) fn cut_points(folders: &[String], after: &str, until: Option<&str>, ranges: usize) -> Vec<String> {
    let inside = |folder: &&String| folder.as_str() > after && until.is_none_or(|until| folder.as_str() < until);
    let mut candidates: Vec<&String> = folders.iter().filter(inside).collect();
    // The server's order is not relied on: two cuts at one place would make an empty range.
    candidates.sort();
    candidates.dedup();
    let cuts = candidates.len().min(ranges.saturating_sub(1));
    // The i-th of n even cuts through m candidates.
    (0..cuts).map(|i| candidates[i * candidates.len() / cuts].clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost(pages: u64, probes: u64) -> Cost {
        Cost { pages, probes, cuts: 0 }
    }

    fn shared_out(left: &[f64], idle: usize, pages: u64, probes: u64, order: Order) -> Vec<(usize, usize)> {
        share_out(&sure(left), idle, cost(pages, probes), order)
            .into_iter()
            .map(|task| (task.range, task.cuts))
            .collect()
    }

    fn sure(left: &[f64]) -> Vec<Left> {
        left.iter().map(|pages| Left { pages: *pages, is_sure: true }).collect()
    }

    #[test]
    fn nothing_is_cut_where_little_is_left_or_nobody_is_idle() {
        assert!(shared_out(&[3.9, 0.0], 60, 100, 0, Order::Largest).is_empty());
        assert!(shared_out(&[500.0], 0, 100, 0, Order::Largest).is_empty());
        assert!(shared_out(&[], 60, 100, 0, Order::Largest).is_empty());
    }

    #[test]
    fn the_first_page_allows_a_handful_and_more_pages_more() {
        let unsure = [Left { pages: 1e6, is_sure: false }];
        assert_eq!(share_out(&unsure, 63, cost(1, 0), Order::Largest), [Task { range: 0, cuts: 1, requests: 4 }]);
        assert_eq!(shared_out(&[7.0], 63, 1, 0, Order::Largest), [(0, 2)]);
        assert!(share_out(&unsure, 63, cost(1, 1), Order::Largest).is_empty());
        assert_eq!(shared_out(&[100.0, 300.0], 60, 400, 6, Order::Largest), [(0, 15), (1, 45)]);
    }

    #[test]
    fn ranges_are_cut_into_even_parts_or_in_their_order() {
        let left = [40.0, 400.0, 4.0];
        assert_eq!(shared_out(&left, 9, 9_000, 0, Order::Largest), [(1, 9)]);
        assert_eq!(shared_out(&left, 30, 9_000, 0, Order::Largest), [(0, 2), (1, 28)]);
        assert_eq!(shared_out(&left, 30, 9_000, 0, Order::First(5)), [(0, 7), (1, 23)]);
    }

    fn folders(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("p/{i:04}/")).collect()
    }

    #[test]
    fn many_folders_are_merged_evenly() {
        let cuts = cut_points(&folders(1_000), "", None, 64);
        assert_eq!(cuts.len(), 63);
        assert_eq!(cuts[0], "p/0000/");
        assert_eq!(cuts[62], "p/0984/");
    }

    #[test]
    fn few_folders_are_all_taken_and_none_gives_no_cut() {
        assert_eq!(cut_points(&folders(3), "", None, 64), folders(3));
        assert!(cut_points(&[], "", None, 64).is_empty());
        assert!(cut_points(&folders(3), "", None, 1).is_empty());
    }

    #[test]
    fn folders_out_of_order_or_shown_twice_do_no_harm() {
        let shown = ["b/", "a/", "b/", "c/"].map(str::to_owned);
        assert_eq!(cut_points(&shown, "", None, 64), ["a/", "b/", "c/"]);
    }

    proptest! {
        #[test]
        fn no_more_is_shared_out_than_there_is(
            left in prop::collection::vec(0.0_f64..1e9, 0..8), idle in 0_usize..99, pages in 0_u64..9_999, probes in 0_u64..99, made in 0_u64..999, first: bool,
        ) {
            let order = if first { Order::First(6) } else { Order::Largest };
            let tasks = share_out(&sure(&left), idle, Cost { pages, probes, cuts: made }, order);
            let cuts: usize = tasks.iter().map(|task| task.cuts).sum();
            let requests: usize = tasks.iter().map(|task| task.requests).sum();
            prop_assert!(cuts <= idle);
            prop_assert!(tasks.iter().all(|task| task.cuts > 0 && task.cuts as f64 * LEAST_PAGES <= left[task.range]));
            prop_assert!(cuts == 0 || probes as f64 + requests as f64 <= HANDFUL + PROBES);
            let most = HANDFUL + (pages as f64 + TRUSTED_PAGES) / PAGES_FOR_ONE;
            prop_assert!(cuts == 0 || CUT * (made as f64 + cuts as f64) <= most);
        }

        #[test]
        fn cuts_ascend_inside_the_range(n in 0_usize..300, ranges in 0_usize..70, after in "[p/0-9]{0,6}", until in "[p/0-9]{0,6}") {
            let cuts = cut_points(&folders(n), &after, Some(&until), ranges);
            prop_assert!(cuts.len() < ranges.max(1));
            prop_assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(cuts.iter().all(|cut| *cut > after && *cut < until));
        }
    }
}
