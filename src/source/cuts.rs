//! Where to cut a range: a guess from one page of folders. Pure.

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
        fn cuts_ascend_inside_the_range(n in 0_usize..300, ranges in 0_usize..70, after in "[p/0-9]{0,6}", until in "[p/0-9]{0,6}") {
            let cuts = cut_points(&folders(n), &after, Some(&until), ranges);
            prop_assert!(cuts.len() < ranges.max(1));
            prop_assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(cuts.iter().all(|cut| *cut > after && *cut < until));
        }
    }
}
