//! One page of records, read without holding the state.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use storage::state::StateStore;

use super::{OutcomesError, Overlay};

/// The source of a page. The store is on disk, so the lock of the state is released before it is read: commands wait
/// for all who hold the state.
///
/// Each record is then as it was at some time between the two.
pub(in crate::state) struct Page<R> {
    store: Arc<dyn StateStore>,
    frozen: Arc<Overlay>,
    /// Later changes of the range, as far as the page can reach.
    changed: Overlay,
    range: Range<Vec<u8>>,
    limit: usize,
    of: PhantomData<fn() -> R>,
}

impl<R> Page<R> {
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        frozen: Arc<Overlay>,
        changed: &Overlay,
        range: Range<Vec<u8>>,
        limit: usize,
    ) -> Self {
        let changed = up_to(changed, &range, limit);
        Self { store, frozen, changed, range, limit, of: PhantomData }
    }

    /// The records, in the order of their keys. Blocks.
    pub(in crate::state) fn read(self) -> Result<Vec<R>, OutcomesError>
    where
        R: DeserializeOwned,
    {
        let record = |value: Result<Vec<u8>, OutcomesError>| {
            postcard::from_bytes(&value?).map_err(|e| OutcomesError(e.to_string()))
        };
        self.merged().take(self.limit).map(record).collect()
    }

    /// Values of the range in key order: the overlays over the store.
    fn merged(&self) -> impl Iterator<Item = Result<Vec<u8>, OutcomesError>> {
        let mut overlay: Overlay =
            self.frozen.range(self.range.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
        overlay.extend(self.changed.iter().map(|(k, v)| (k.clone(), v.clone())));
        let mut overlay = overlay.into_iter().peekable();
        let mut stored = self.store.scan(&self.range.start, Some(&self.range.end)).peekable();
        std::iter::from_fn(move || {
            loop {
                let from_overlay = match (overlay.peek(), stored.peek()) {
                    (Some((key, _)), Some(Ok((other, _)))) => {
                        let same = key == other;
                        let first = key <= other;
                        if same {
                            stored.next();
                        }
                        first
                    }
                    (Some(_), None) => true,
                    (_, Some(_)) => false,
                    (None, None) => return None,
                };
                if from_overlay {
                    if let Some((_, Some(value))) = overlay.next() {
                        return Some(Ok(value));
                    }
                } else {
                    let next = stored.next()?;
                    return Some(next.map(|(_, value)| value).map_err(|e| OutcomesError(e.to_string())));
                }
            }
        })
    }
}

/// A copy of the range up to its `limit`-th existing record, the last that can be on the page.
fn up_to(changed: &Overlay, range: &Range<Vec<u8>>, limit: usize) -> Overlay {
    let mut copied = Overlay::new();
    let mut there = 0;
    for (key, value) in changed.range(range.clone()) {
        if there == limit {
            break;
        }
        there += usize::from(value.is_some());
        copied.insert(key.clone(), value.clone());
    }
    copied
}
