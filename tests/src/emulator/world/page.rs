//! Selects the tweets of a page.

use std::ops::Range;

/// The window of a timeline request.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct TimelinePage {
    /// Only tweets newer than this one.
    pub since: Option<u64>,
    /// Only this tweet and older ones.
    pub max: Option<u64>,
    /// Maximum number of tweets.
    pub count: usize,
}

impl TimelinePage {
    /// Positions of the page in a timeline of `total` tweets whose ids decrease with the position.
    pub fn select(&self, total: usize, id_at: impl Fn(usize) -> u64) -> Range<usize> {
        // The first position whose id is not above `bound`.
        let first_at_most = |bound: u64| {
            let (mut low, mut high) = (0, total);
            while low < high {
                let middle = low + (high - low) / 2;
                if id_at(middle) > bound { low = middle + 1 } else { high = middle }
            }
            low
        };
        let start = self.max.map_or(0, first_at_most);
        let end = self.since.map_or(total, first_at_most);
        let end = end.min(start.saturating_add(self.count));
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_is_inclusive_and_since_exclusive() {
        let ids = [90, 80, 70, 60, 50];
        let select = |since, max, count| {
            let page = TimelinePage { since, max, count };
            ids[page.select(ids.len(), |i| ids[i])].to_vec()
        };
        assert_eq!(select(None, None, 200), ids);
        assert_eq!(select(None, Some(80), 2), [80, 70]);
        assert_eq!(select(None, Some(79), 2), [70, 60]);
        assert_eq!(select(Some(60), None, 200), [90, 80, 70]);
        assert_eq!(select(Some(59), Some(80), 200), [80, 70, 60]);
        assert!(select(Some(90), None, 200).is_empty());
        assert!(select(None, Some(49), 200).is_empty());
        assert!(select(Some(80), Some(60), 200).is_empty());
        assert!(select(None, Some(0), 200).is_empty());
    }
}
