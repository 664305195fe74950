//! Posts as JSON, with the fields of Mastodon 4.7.

use serde_json::json;

use super::population::Population;
use crate::emulator::world::iso_date;

/// Bits of a synthetic post's id below its time, and the time from which they count (Snowflake).
const LOW_BITS: u32 = 22;
const EPOCH_MILLIS: u64 = 1_288_834_974_657;
/// One in this many posts repeats one of another account.
const REBLOGS: u64 = 7;

/// Who writes and who asks.
pub(super) struct Author<'a> {
    pub population: &'a Population,
    pub host: u32,
    pub number: u64,
    /// Its account as JSON.
    pub account: &'a str,
    /// Whether the asker has a token: some fields are about the asker.
    pub signed: bool,
}

/// A post of its author, which may repeat another one.
pub(super) fn status(author: &Author<'_>, post: u64) -> String {
    let repeated = (post % REBLOGS == 0).then(|| {
        let other = author.number % author.population.all().end() + 1;
        let account = super::account::account(author.population, author.host, other);
        let author = Author { number: other, account: &account, ..*author };
        write(&author, post - 1, "null")
    });
    write(author, post, repeated.as_deref().unwrap_or("null"))
}

fn write(author: &Author<'_>, post: u64, reblog: &str) -> String {
    let Author { population, host, number, account, signed } = *author;
    let id = population.spelled(host, post);
    let created = iso_date(((post >> LOW_BITS) + EPOCH_MILLIS) * 1000, 3);
    let (home, username) = (population.home_domain(number), population.username(number));
    let words = String::from_utf8_lossy(&population.words(number, post)).into_owned();
    let content = json!(format!("<p>{words}</p>"));
    let about_the_asker = if signed {
        "\"favourited\":false,\"reblogged\":false,\"muted\":false,\"bookmarked\":false,\"pinned\":false,\"filtered\":[],"
    } else {
        ""
    };
    format!(
        "{{\"id\":\"{id}\",\"created_at\":\"{created}\",\"in_reply_to_id\":null,\"in_reply_to_account_id\":null,\
         \"sensitive\":false,\"spoiler_text\":\"\",\"visibility\":\"public\",\"language\":\"en\",\
         \"uri\":\"https://{home}/ap/users/{number}/statuses/{id}\",\"url\":\"https://{home}/@{username}/{id}\",\
         \"replies_count\":0,\"reblogs_count\":0,\"favourites_count\":0,\"quotes_count\":0,\"edited_at\":null,\
         {about_the_asker}\"content\":{content},\"reblog\":{reblog},\
         \"application\":{{\"name\":\"Web\",\"website\":null}},\"account\":{account},\"media_attachments\":[],\
         \"mentions\":[],\"tags\":[],\"emojis\":[],\"tagged_collections\":[],\"quote\":null,\"card\":null,\
         \"poll\":null,\"quote_approval\":{{\"automatic\":[],\"manual\":[],\"current_user\":\"denied\"}}}}"
    )
}
