//! DID documents (<https://atproto.com/specs/did>): where an account is, and how it is called.

use reqwest::Url;
use serde::Deserialize;

use super::ids::is_handle;
use super::settings::is_origin;
use crate::source::bounded::AtMost;

/// Most entries of a document that are looked at.
const MOST_ENTRIES: usize = 1000;

/// What an account's DID document says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its server.
    pub(super) pds: Url,
    /// The handle that it claims, lower case.
    pub(super) handle: Option<Box<str>>,
}

/// Reads the document of `did`. `None`: the account has no server.
///
/// # Errors
/// It is no document, or that of another DID.
pub(super) fn read(body: &[u8], did: &str) -> Result<Option<Document>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        id: String,
        also_known_as: Option<AtMost<String, MOST_ENTRIES>>,
        service: Option<AtMost<Service, MOST_ENTRIES>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Service {
        id: String,
        // Other services may have several.
        service_endpoint: serde_json::Value,
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if body.id != did {
        return Err("it is the document of another DID".to_owned());
    }
    let services = body.service.map_or_else(Vec::new, |AtMost(services)| services);
    let pds = services
        .into_iter()
        .find(|service| service.id == "#atproto_pds" || service.id.strip_prefix(did) == Some("#atproto_pds"));
    let Some(pds) = pds else { return Ok(None) };
    let url = pds.service_endpoint.as_str().and_then(|url| Url::parse(url).ok()).filter(is_origin);
    let pds = url.ok_or("its server has no usable URL")?;
    let names = body.also_known_as.map_or_else(Vec::new, |AtMost(names)| names);
    // The first one counts.
    let handle = names.iter().find_map(|name| name.strip_prefix("at://"));
    let handle = handle.filter(|handle| is_handle(handle)).map(|handle| handle.to_ascii_lowercase().into());
    Ok(Some(Document { pds, handle }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DID: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

    fn document(more: &str) -> Result<Option<Document>, String> {
        read(format!(r#"{{"id":"{DID}",{more}}}"#).as_bytes(), DID)
    }

    #[test]
    fn server_and_handle_are_found_among_others() {
        let found = document(
            r##""alsoKnownAs":["https://x","at://Ada.Test","at://old.test"],"service":[{"id":"#other","serviceEndpoint":{"a":1}},
            {"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.example.org"}]"##,
        );
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found.pds.as_str(), found.handle.as_deref()),
            ("https://pds.example.org/", Some("ada.test"))
        );
        let whole_id = format!(r#""service":[{{"id":"{DID}#atproto_pds","serviceEndpoint":"https://a.b"}}]"#);
        assert_eq!(document(&whole_id).unwrap().unwrap().handle, None);
    }

    #[test]
    fn a_document_without_a_server_is_one_and_others_are_none() {
        assert_eq!(document(r#""service":[]"#), Ok(None));
        assert_eq!(document(r#""alsoKnownAs":["at://ada.test"]"#), Ok(None));
        for bad in ["file:///etc/passwd", "https://a.b/path", "https://u:p@a.b", "nope"] {
            let service = format!(r##""service":[{{"id":"#atproto_pds","serviceEndpoint":"{bad}"}}]"##);
            assert!(document(&service).is_err(), "{bad}");
        }
        assert!(read(br#"{"id":"did:plc:other"}"#, DID).is_err());
        assert!(read(b"<html>", DID).is_err());
        let many = format!(r#""service":[{}]"#, vec!["{\"id\":\"x\",\"serviceEndpoint\":1}"; 1001].join(","));
        assert!(document(&many).unwrap_err().contains("more than 1000"));
    }
}
