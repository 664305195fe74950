//! Asks DNS for the TXT records of a name: `_atproto.HANDLE` has the DID of the account.
//!
//! A query is sent to the name servers of this host's settings, over UDP, and over TCP if the answer does not fit. Answers are
//! read with all lengths checked; one that does not repeat the question is not an answer.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use storage::env::{Entropy, SystemEntropy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one name server may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Most name servers that are asked, one after the other.
const MOST_SERVERS: usize = 3;
/// Most bytes of an answer over UDP, as the query says (RFC 6891).
const UDP_BYTES: u16 = 1232;
/// Most records of an answer that are looked at.
const MOST_RECORDS: u16 = 100;
/// Longest name, bytes.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

const TXT: u16 = 16;
const OPT: u16 = 41;
const INTERNET: u16 = 1;
const NO_SUCH_NAME: u8 = 3;

/// The name servers.
#[derive(Debug, Clone)]
pub(super) struct Dns {
    servers: Vec<SocketAddr>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DnsError {
    /// This host has no name servers.
    #[error("no name servers; see /etc/resolv.conf")]
    NoServers,
    /// The name does not fit into a query.
    #[error("the name is no name of DNS")]
    Name,
    /// No server answered.
    #[error("name server {server}: {what}")]
    Server {
        /// The last one that was asked.
        server: SocketAddr,
        /// What it did.
        what: String,
    },
}

/// A message that is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut,
    OtherQuestion,
    /// A response code, such as 2: the server failed.
    Code(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("its answer is cut off"),
            Self::OtherQuestion => f.write_str("it answered another question"),
            Self::Code(code) => write!(f, "it answered with code {code}"),
        }
    }
}

/// What an answer holds.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Texts(Vec<Vec<u8>>),
    /// It has to be asked for over TCP.
    TooLong,
}

impl Dns {
    /// These name servers.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// Those of this host.
    pub(super) fn of_this_host() -> Self {
        let text = std::fs::read_to_string(Path::new("/etc/resolv.conf")).unwrap_or_default();
        Self { servers: servers(&text) }
    }

    /// The texts of a name; none if there is no such name.
    ///
    /// # Errors
    /// No name server answered.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let id = SystemEntropy::new().next_u64() as u16;
        let query = query(id, name).ok_or(DnsError::Name)?;
        let mut error = DnsError::NoServers;
        for &server in self.servers.iter().take(MOST_SERVERS) {
            let asked = timeout(ANSWER, ask(server, &query, id)).await;
            let what = match asked {
                Ok(Ok(texts)) => return Ok(texts),
                Ok(Err(what)) => what,
                Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
            };
            error = DnsError::Server { server, what };
        }
        Err(error)
    }
}

async fn ask(server: SocketAddr, query: &[u8], id: u16) -> Result<Vec<Vec<u8>>, String> {
    let said = |error: std::io::Error| error.to_string();
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(own).await.map_err(said)?;
    socket.connect(server).await.map_err(said)?;
    socket.send(query).await.map_err(said)?;
    let mut answer = vec![0; usize::from(UDP_BYTES)];
    loop {
        let bytes = socket.recv(&mut answer).await.map_err(said)?;
        match read(&answer[..bytes], id, query) {
            Ok(Told::Texts(texts)) => return Ok(texts),
            Ok(Told::TooLong) => return ask_at_length(server, query, id).await,
            // Anybody may have sent it: the answer may still come.
            Err(Fault::OtherQuestion) => {}
            Err(fault) => return Err(fault.to_string()),
        }
    }
}

async fn ask_at_length(server: SocketAddr, query: &[u8], id: u16) -> Result<Vec<Vec<u8>>, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server).await.map_err(said)?;
    let length = u16::try_from(query.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await.map_err(said)?;
    let length = stream.read_u16().await.map_err(said)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(said)?;
    match read(&answer, id, query) {
        Ok(Told::Texts(texts)) => Ok(texts),
        Ok(Told::TooLong) => Err(Fault::Cut.to_string()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// The name servers of a `resolv.conf`.
fn servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next())??;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    };
    text.lines().filter_map(server).collect()
}

/// A query for the TXT records of a name.
fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut query = Vec::with_capacity(name.len() + 32);
    query.extend(id.to_be_bytes());
    // A standard query, with recursion; one question, and one record about this side.
    query.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1]);
    if name.len() > LONGEST_NAME {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|_| (1..=LONGEST_LABEL).contains(&label.len()))?;
        query.push(length);
        query.extend(label.bytes());
    }
    query.push(0);
    query.extend(TXT.to_be_bytes());
    query.extend(INTERNET.to_be_bytes());
    query.push(0);
    query.extend(OPT.to_be_bytes());
    query.extend(UDP_BYTES.to_be_bytes());
    query.extend([0; 6]);
    Some(query)
}

/// Reads an answer to `query`. The records of names to which the asked one leads (CNAME) count as its own.
fn read(answer: &[u8], id: u16, query: &[u8]) -> Result<Told, Fault> {
    let mut reader = Reader { bytes: answer, at: 0 };
    let head = reader.take(12)?;
    let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (is_answer, is_cut, code) = (head[2] & 0x80 != 0, head[2] & 0x02 != 0, head[3] & 0x0f);
    if number(0) != id || !is_answer || number(4) != 1 {
        return Err(Fault::OtherQuestion);
    }
    // Letters may come back in another case.
    let question = query.get(12..query.len() - 11).unwrap_or_default();
    if !reader.take(question.len())?.eq_ignore_ascii_case(question) {
        return Err(Fault::OtherQuestion);
    }
    match code {
        0 if is_cut => return Ok(Told::TooLong),
        0 => {}
        NO_SUCH_NAME => return Ok(Told::Texts(Vec::new())),
        code => return Err(Fault::Code(code)),
    }
    let mut texts = Vec::new();
    for _ in 0..number(6).min(MOST_RECORDS) {
        reader.skip_name()?;
        let (kind, class) = (reader.number()?, reader.number()?);
        reader.take(4)?;
        let length = reader.number()?;
        let data = reader.take(usize::from(length))?;
        if (kind, class) == (TXT, INTERNET) {
            texts.push(text(data)?);
        }
    }
    Ok(Told::Texts(texts))
}

/// The strings of a TXT record, together.
fn text(data: &[u8]) -> Result<Vec<u8>, Fault> {
    let (mut reader, mut text) = (Reader { bytes: data, at: 0 }, Vec::with_capacity(data.len()));
    while reader.at < data.len() {
        let length = reader.take(1)?[0];
        text.extend(reader.take(usize::from(length))?);
    }
    Ok(text)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..bytes)).ok_or(Fault::Cut)?;
        self.at += bytes;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name ends with an empty label, or with a pointer, which is not followed.
    fn skip_name(&mut self) -> Result<(), Fault> {
        loop {
            let length = self.take(1)?[0];
            match length {
                0 => return Ok(()),
                0xc0.. => return self.take(1).map(drop),
                1..=63 => drop(self.take(usize::from(length))?),
                _ => return Err(Fault::Cut),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer to `query` with these TXT records, each of these strings.
    fn answer(query: &[u8], flags: [u8; 2], records: &[&[&str]]) -> Vec<u8> {
        let mut answer = query[..2].to_vec();
        answer.extend(flags);
        answer.extend([0, 1]);
        answer.extend((records.len() as u16).to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(&query[12..query.len() - 11]);
        for strings in records {
            answer.extend([0xc0, 12]);
            answer.extend([0, 16, 0, 1, 0, 0, 1, 0]);
            let data: Vec<u8> = strings
                .iter()
                .flat_map(|text| std::iter::once(text.len() as u8).chain(text.bytes()))
                .collect();
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        answer
    }

    /// A name server that answers each query with what `tell` says of its name; it also speaks TCP.
    pub(in super::super) async fn serve(
        tell: impl Fn(&str) -> Vec<&'static str> + Clone + Send + Sync + 'static,
    ) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut query = [0; 600];
            while let Ok((bytes, from)) = socket.recv_from(&mut query).await {
                let query = &query[..bytes];
                let name = name_of(query);
                let told = tell(&name);
                let records: Vec<[&str; 1]> = told.into_iter().map(|text| [text]).collect();
                let records: Vec<&[&str]> = records.iter().map(|strings| &strings[..]).collect();
                let _ = socket.send_to(&answer(query, [0x81, 0x80], &records), from).await;
            }
        });
        address
    }

    fn name_of(query: &[u8]) -> String {
        let (mut at, mut labels) = (12, Vec::new());
        while query[at] != 0 {
            let end = at + 1 + usize::from(query[at]);
            labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
            at = end;
        }
        labels.join(".")
    }

    #[test]
    fn the_texts_of_a_name_are_read() {
        let query = query(7, "_atproto.ada.test").unwrap();
        assert_eq!(name_of(&query), "_atproto.ada.test");
        let told = read(&answer(&query, [0x81, 0x80], &[&["did=", "did:plc:a"], &["v=spf1"]]), 7, &query);
        assert_eq!(told, Ok(Told::Texts(vec![b"did=did:plc:a".to_vec(), b"v=spf1".to_vec()])));
        assert_eq!(read(&answer(&query, [0x81, 0x83], &[]), 7, &query), Ok(Told::Texts(vec![])));
        assert_eq!(read(&answer(&query, [0x83, 0x80], &[]), 7, &query), Ok(Told::TooLong));
        assert_eq!(read(&answer(&query, [0x81, 0x82], &[]), 7, &query), Err(Fault::Code(2)));
        assert_eq!(read(&answer(&query, [0x81, 0x80], &[]), 8, &query), Err(Fault::OtherQuestion));
        assert_eq!(read(&answer(&query, [0x01, 0x80], &[]), 7, &query), Err(Fault::OtherQuestion));
        let other = super::query(7, "_atproto.eve.test").unwrap();
        assert_eq!(read(&answer(&other, [0x81, 0x80], &[]), 7, &query), Err(Fault::OtherQuestion));
    }

    #[test]
    fn an_answer_that_is_cut_off_or_garbage_is_none_and_harms_nobody() {
        let query = query(7, "_atproto.ada.test").unwrap();
        let whole = answer(&query, [0x81, 0x80], &[&["did=did:plc:a"]]);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end], 7, &query), Err(Fault::Cut), "{end}");
        }
        for at in 12..whole.len() {
            for value in [0, 0x3f, 0x7f, 0xc0, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _any = read(&changed, 7, &query);
            }
        }
        let mut counts = whole;
        counts[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(read(&counts, 7, &query), Err(Fault::Cut));
    }

    #[test]
    fn a_name_that_does_not_fit_is_not_asked_for() {
        for name in ["", "a..b", &"x".repeat(64), &"abc.".repeat(64)] {
            assert_eq!(query(1, name), None, "{name}");
        }
        let text = "# x\nnameserver 10.0.0.1\nsearch a\nnameserver ::1\nnameserver nope\n";
        assert_eq!(servers(text), ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }

    #[tokio::test]
    async fn the_next_name_server_is_asked_if_one_does_not_answer() {
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = serve(|name| if name == "_atproto.ada.test" { vec!["did=x"] } else { vec![] }).await;
        let dns = Dns::new(vec![nobody, server]);
        assert_eq!(dns.texts("_atproto.ada.test").await.unwrap(), [b"did=x".to_vec()]);
        assert_eq!(dns.texts("_atproto.eve.test").await.unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(Dns::new(Vec::new()).texts("a.b").await, Err(DnsError::NoServers));
        let error = Dns::new(vec![nobody]).texts("a.b").await.unwrap_err().to_string();
        assert!(error.contains(&nobody.to_string()), "{error}");
    }
}
