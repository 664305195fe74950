//! Entry points for the fuzz target `api_answer` in `tests/fuzz`; built only for it.

use crate::rate::RateInfo;
use crate::source::{Asked, FollowersPage, Profile, SourceError, TimelinePage};

fn asked() -> Asked {
    Asked { url: "http://localhost/1/x.json".into(), user: None }
}

/// A page of a timeline.
pub fn timeline(body: &[u8], cursor: Option<&str>) -> Result<TimelinePage, SourceError> {
    super::timeline(body.to_vec(), cursor, &asked())
}

/// A page of followers.
pub fn followers(body: &[u8], cursor: &str) -> Result<FollowersPage, SourceError> {
    super::followers(body, cursor, &asked())
}

/// The answer to a look-up.
pub fn profiles(body: &[u8]) -> Result<Vec<Profile>, SourceError> {
    super::profiles(body.to_vec(), &asked())
}

/// An error answer.
pub fn refusal(status: u16, body: &[u8], rate: &mut RateInfo, about_user: bool) -> SourceError {
    super::refusal(&asked(), status, body, rate, about_user)
}
