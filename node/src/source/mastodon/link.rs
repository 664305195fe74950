//! The `Link` header of a page (RFC 8288).

use reqwest::Url;

use super::place::is_max_id;

/// The `max_id` of the link with `rel="next"`; `None` if there is no such link, at the end of a list.
///
/// Only the `max_id` is taken over: the next request goes to the host that was asked, whatever the link says. A link to
/// another host, or without a usable `max_id`, is an error: the list goes on in a way that cannot be followed.
pub(super) fn next_max_id(header: &str, authority: &str) -> Result<Option<String>, String> {
    let Some(target) = target_of_next(header) else { return Ok(None) };
    let short = || storage::text::excerpt(target, 100);
    let url =
        Url::parse(target).map_err(|_| format!("the link to the next page is no URL: {:?}", short()))?;
    let host = url.host_str().unwrap_or_default();
    let named = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if !named.eq_ignore_ascii_case(authority) {
        return Err(format!("the link to the next page leads to another host: {:?}", short()));
    }
    let max_id = url.query_pairs().find(|(name, _)| name == "max_id").map(|(_, value)| value.into_owned());
    let max_id = max_id.filter(|max_id| is_max_id(max_id));
    max_id.map(Some).ok_or_else(|| format!("the link to the next page has no usable max_id: {:?}", short()))
}

/// The target of the first link whose relations include `next`.
fn target_of_next(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let (target, after) = link.split_once('>')?;
        // The parameters end with the next link: a `<` within a quoted one would be a broken link.
        let end = after.find('<').unwrap_or(after.len());
        let (parameters, behind) = after.split_at(end);
        if parameters.split([';', ',']).any(is_next) {
            return Some(target);
        }
        rest = behind;
    }
    None
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|one| one.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "<http://localhost:3000/api/v1/accounts/117440810532227399/statuses?limit=5&max_id=117440824995689268>; rel=\"next\", <http://localhost:3000/api/v1/accounts/117440810532227399/statuses?limit=5&min_id=117440825015062295>; rel=\"prev\"";

    #[test]
    fn the_next_page_of_a_recorded_link_is_found() {
        let next = next_max_id(RECORDED, "localhost:3000").unwrap();
        assert_eq!(next.as_deref(), Some("117440824995689268"));
        let only_previous = RECORDED.split(", ").nth(1).unwrap();
        assert_eq!(next_max_id(only_previous, "localhost:3000"), Ok(None));
        let turned = RECORDED.split(", ").collect::<Vec<_>>();
        let turned = format!("{}, {}", turned[1], turned[0].replace('"', ""));
        assert_eq!(next_max_id(&turned, "localhost:3000"), Ok(next));
    }

    #[test]
    fn a_link_to_another_host_or_without_a_place_is_an_error() {
        for link in [
            "<https://evil.example/api?max_id=5>; rel=\"next\"",
            "<https://host.example.evil.example/api?max_id=5>; rel=\"next\"",
            "<https://host.example:8443/api?max_id=5>; rel=\"next\"",
            "<https://host.example@evil.example/api?max_id=5>; rel=\"next\"",
            "<https://host.example/api?page=2>; rel=\"next\"",
            "<https://host.example/api?max_id=>; rel=\"next\"",
            "</api?max_id=5>; rel=\"next\"",
        ] {
            assert!(next_max_id(link, "host.example").is_err(), "{link}");
        }
        let good = "<https://Host.example/api?max_id=01J%2F5>; rel=\"next\"";
        assert_eq!(next_max_id(good, "host.example"), Ok(Some("01J/5".to_owned())));
    }

    #[test]
    fn garbage_is_no_link() {
        for header in
            ["", "<", "<>", "next", "<https://host.example/?max_id=5>", "<a>; rel=nextish", "<<<<>>>>"]
        {
            assert_eq!(next_max_id(header, "host.example"), Ok(None), "{header:?}");
        }
    }
}
