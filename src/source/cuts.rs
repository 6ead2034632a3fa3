//! Which ranges are cut, into how many parts, and a first guess at where. Pure.

use super::survey::LEAST_PAGES;

/// Requests beyond the pages that any listing may cost.
const HANDFUL: f64 = 4.0;

/// How many pages pay for one request beyond them: some 8% more requests.
const PAGES_FOR_ONE: f64 = 12.0;

/// What is thought to be left counts up to so many times what was seen: a few pages say little.
const TRUST: f64 = 16.0;

/// What one cut may cost: half a page that is listed twice, or a page where there is nothing to cut.
const CUT: f64 = 1.0;

/// What a look at a range costs beside that.
const LOOK: f64 = 1.0;

/// An estimate of so many times the pages that were seen is not believed without a look.
const BELIEVED: f64 = 8.0;

/// Whether `left` pages may well be left in a range, where `pages` were listed in all.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn is_believed(left: f64, pages: u64) -> bool {
    left <= BELIEVED * pages as f64
}

/// Which ranges are cut first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with most left.
    Largest,
    /// The first ones, into parts of so many pages.
    First(u32),
}

/// Into how many parts more to cut which of the ranges, of which `left` says how many pages are
/// left: an index of `left` and a number of cuts each. There are `idle` tasks for them; `pages` were
/// listed, and `spent` requests went beyond them.
#[allow(clippy::cast_precision_loss, reason = "estimates")]
pub fn share_out(left: &[f64], idle: usize, pages: u64, spent: u64, order: Order) -> Vec<(usize, usize)> {
    let total: f64 = left.iter().sum();
    let pages = pages as f64;
    let mut allowed = HANDFUL + (pages + total.min(TRUST * pages)) / PAGES_FOR_ONE - spent as f64;
    let least = match order {
        Order::Largest => LEAST_PAGES,
        Order::First(pages) => f64::from(pages),
    };
    let mut cuts = vec![0_usize; left.len()];
    let part = |cuts: &[usize], range: usize| left[range] / (cuts[range] as f64 + 1.0);
    let has_room = |cuts: &[usize], range: usize| left[range] >= least * (cuts[range] as f64 + 2.0);
    for _ in 0..idle {
        let candidates = (0..left.len()).filter(|range| has_room(&cuts, *range));
        let next = match order {
            Order::Largest => candidates.max_by(|a, b| part(&cuts, *a).total_cmp(&part(&cuts, *b))),
            Order::First(_) => candidates.min(),
        };
        let Some(range) = next else { break };
        allowed -= if cuts[range] == 0 { CUT + LOOK } else { CUT };
        if allowed < 0.0 {
            break;
        }
        cuts[range] += 1;
    }
    cuts.into_iter().enumerate().filter(|(_, cuts)| *cuts > 0).collect()
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

    #[test]
    fn nothing_is_cut_where_little_is_left_or_nobody_is_idle() {
        assert!(share_out(&[3.9, 0.0], 60, 100, 0, Order::Largest).is_empty());
        assert!(share_out(&[500.0], 0, 100, 0, Order::Largest).is_empty());
        assert!(share_out(&[], 60, 100, 0, Order::Largest).is_empty());
    }

    #[test]
    fn the_first_page_allows_a_handful_and_more_pages_more() {
        assert_eq!(share_out(&[1_000.0], 63, 1, 0, Order::Largest), [(0, 4)]);
        assert_eq!(share_out(&[100.0, 900.0], 60, 40, 6, Order::Largest), [(0, 5), (1, 47)]);
        assert!(share_out(&[1_000.0], 63, 1, 5, Order::Largest).is_empty());
    }

    #[test]
    fn ranges_are_cut_into_even_parts_or_in_their_order() {
        let left = [40.0, 400.0, 4.0];
        assert_eq!(share_out(&left, 9, 1_000, 0, Order::Largest), [(1, 9)]);
        assert_eq!(share_out(&left, 30, 1_000, 0, Order::Largest), [(0, 2), (1, 28)]);
        assert_eq!(share_out(&left, 30, 1_000, 0, Order::First(5)), [(0, 7), (1, 23)]);
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
            left in prop::collection::vec(0.0_f64..1e9, 0..8), idle in 0_usize..99, pages in 0_u64..9_999, spent in 0_u64..999, first: bool,
        ) {
            let order = if first { Order::First(6) } else { Order::Largest };
            let shares = share_out(&left, idle, pages, spent, order);
            let cuts: usize = shares.iter().map(|(_, cuts)| cuts).sum();
            prop_assert!(cuts <= idle);
            prop_assert!(shares.iter().all(|(range, cuts)| *cuts > 0 && *cuts as f64 * LEAST_PAGES <= left[*range]));
            prop_assert!(cuts == 0 || spent as f64 + cuts as f64 <= HANDFUL + (1.0 + TRUST) * pages as f64 / PAGES_FOR_ONE);
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
