//! Invalid flags, ids, addresses and folders.

use std::fs;
use std::net::TcpListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use twm_tests::cluster::Cluster;

use crate::table::{Places, Row, ctl, holds, node};
use crate::world::{Test, accounts};

/// Invalid settings: reported before anything is opened, always with exit code 2. `{new}` is a node that
/// could start.
const SETTINGS: &[Row] = &[
    node("--no-such-flag", 2, &["--no-such-flag", "--help"]),
    node("start {new}", 2, &["'start'"]),
    node("{new} --id=x", 2, &["flag --id", "\"x\"", "a number from 1 on"]),
    node("{new} --id=-1", 2, &["flag --id", "\"-1\"", "a number from 1 on"]),
    node("{new} --id=99999999999999999999", 2, &["flag --id", "a number from 1 on"]),
    node("{new} --id=2", 2, &["node 2 (--id) is not among them"]),
    node("{new} --api-url=localhost:5000", 2, &["flag --api-url", "localhost:5000", "http://"]),
    node("{new} --api-url=ftp://host/", 2, &["flag --api-url", "ftp://host/", "http://"]),
    node("{new} --api-url=http://", 2, &["flag --api-url", "such as https://"]),
    node("{new} --api-url=http://host/?a=b", 2, &["flag --api-url", "a query"]),
    node("{new} --api-token=a~b", 2, &["flag --api-token", "line breaks and spaces"]),
    node("{new} --http=nowhere", 2, &["flag --http", "no port", "HOST:PORT"]),
    node("{new} --listen=host:99999", 2, &["flag --listen", "99999", "HOST:PORT"]),
    node(
        "{new} --listen=192.0.2.1:80",
        2,
        &["flag --listen", "192.0.2.1:80", "without TLS", "--tls-ca", "--insecure"],
    ),
    node("{new} --workers=99999999999", 2, &["flag --workers", "from 1 to 10000"]),
    node("{new} --max-attempts=0", 2, &["flag --max-attempts", "from 1 to 1000"]),
    node("{new} --request-timeout=5", 2, &["flag --request-timeout", "such as 500ms"]),
    node("{new} --margin=-1s", 2, &["flag --margin", "such as 500ms"]),
    node("{new} --session-ttl=99h", 2, &["flag --session-ttl", "out of bounds"]),
    node("{new} --compression=10", 2, &["flag --compression", "gzip:1 (fast) to gzip:9 (small)"]),
    node("{new} --followers-format=xml", 2, &["flag --followers-format", "text or packed"]),
    node("{new} --log-format=xml", 2, &["flag --log-format", "text or json"]),
    node("{new} --log-level=a=b=c", 2, &["flag --log-level", "debug or trace"]),
    node("{new} --peers=1=127.0.0.1:0", 2, &["flag --peers", "port 0"]),
    node("{new} --config=/nowhere/x.toml", 2, &["/nowhere/x.toml", "check --config"]),
    node("{new} --config=.", 2, &["it cannot be read", "check --config"]),
    node("{new} --config=noise", 2, &["file noise", "check --config"]),
    node("{new} --config=huge", 2, &["bytes", "check --config"]),
    node("{new} --config=no-toml", 2, &["file no-toml", "no TOML"]),
    node("{new} --config=unknown-key", 2, &["no key \"colour\"", "workers"]),
    node("{new} --config=wrong-type", 2, &["workers (file wrong-type)", "float"]),
];

/// Errors of the environment: exit code 1, and a message with the object, the place and the remedy.
const SURROUNDINGS: &[Row] = &[
    node("{new} --ips=192.0.2.7", 1, &["--ips", "192.0.2.7", "ip addr add"]),
    node("{new} --http={web}", 1, &["{web}", "in use", "--http 127.0.0.1:0"]),
    node("{new} --listen={peer}", 1, &["{peer}", "Address already in use", "--listen"]),
    node("{new} --listen=192.0.2.1:80 --insecure", 1, &["cannot listen on 192.0.2.1:80", "--listen"]),
    node("{new} --output=noise", 1, &["--output", "noise", "something else is in its place"]),
    node("{new} --output=noise/below", 1, &["--output", "noise", "something else is in its place"]),
    node("{new} --output=/proc/dataset", 1, &["--output", "/proc/dataset"]),
    node("{new} --temporary-dir=/dev/shm", 1, &["/dev/shm", "not on the volume of the output"]),
    node("{new} --data-dir=noise", 1, &["noise", "something else is in its place"]),
    node("{new} --data-dir=foreign", 1, &["foreign", "thesis.txt", "give an empty one"]),
    node("{new} --data-dir=damaged", 1, &["damaged/IDENTITY", "is damaged"]),
    node("{new} --data-dir=newer", 1, &["newer/IDENTITY", "format 9", "start the newer twm-node"]),
    node("{new} --data-dir={data}", 1, &["another node runs there", "--data-dir"]),
    node("{new} --id=2 --peers=2={free} --data-dir=moved", 1, &["moved", "node 1", "node 2"]),
    node("{new} --cluster=other --data-dir=moved", 1, &["moved", "\"twm\"", "\"other\""]),
    node("{new} --shared-output --output=shared", 1, &[".twm-output", "none of twm's", "--adopt-output"]),
    node("{new} --log-dir=noise", 1, &["noise", "--log-dir"]),
];

const OPERATORS: &[Row] = &[
    ctl("no-such-command", 2, &["no-such-command", "--help"]),
    ctl("status --no-such-flag", 2, &["--no-such-flag", "--help"]),
    ctl("status --endpoints=nowhere", 2, &["nowhere", "HOST:PORT"]),
    ctl("status --endpoints=host:0", 2, &["HOST:PORT"]),
    ctl("status --timeout=0", 2, &["above 0"]),
    ctl("status --timeout=nan", 2, &["above 0"]),
    ctl("status --timeout=1e300", 2, &["at most 86400"]),
    ctl("{at} crawl show x", 2, &["\"x\" is no crawl id", "crawl list"]),
    ctl("{at} crawl show -- -1", 2, &["\"-1\" is no crawl id", "crawl list"]),
    ctl("{at} crawl show 99999999999999999999", 2, &["no crawl id", "crawl list"]),
    ctl("{at} crawl show 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} crawl pause 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} crawl resume 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} crawl cancel 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} crawl wait 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} errors list 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} errors retry 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} frontier export 77", 1, &["no crawl 77", "crawl list"]),
    ctl("{at} node drain 9", 1, &["node 9 is no member", "member list"]),
    ctl("{at} node drain x", 2, &["x"]),
    ctl("--timeout=5 --endpoints={closed} status", 4, &["{closed}", "refused", "check --endpoints"]),
    ctl("--timeout=5 --endpoints={web} status", 4, &["{web}", "no twm node", "that --peers names"]),
    ctl("--timeout=1 --endpoints={noise} status", 4, &["{noise}", "no twm node", "check --endpoints"]),
    ctl("--timeout=1 --endpoints={silent} status", 4, &["{silent}", "no answer", "check --endpoints"]),
    ctl("--timeout=1 --endpoints={endless} status", 4, &["{endless}", "no twm node", "check --endpoints"]),
    // One good endpoint is enough.
    ctl("--endpoints={noise},{closed},{peer} status", 0, &[]),
];

/// Listens, and sends `answer` on every connection, repeatedly if `endless` is set.
async fn stranger(answer: &'static [u8], endless: bool) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.write_all(answer).await.is_ok() && endless {}
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await
            });
        }
    });
    Ok(address)
}

/// Creates the files and folders that settings name.
fn write_files(cluster: &Cluster) -> Test {
    let at = |name: &str| cluster.folder().join(name);
    fs::write(at("noise"), [0xff, 0, 0x1f, 0x8b, 0xfe].repeat(500))?;
    fs::write(at("huge"), "# long\n".repeat(300_000))?;
    fs::write(at("no-toml"), "workers 3")?;
    fs::write(at("unknown-key"), "colour = 3")?;
    fs::write(at("wrong-type"), "workers = 1.5")?;
    let identity = fs::read_to_string(cluster.data_dir(1).join("IDENTITY"))?;
    for (folder, file, content) in [
        ("foreign", "thesis.txt", "mine".to_owned()),
        ("damaged", "IDENTITY", identity.replace("node 1", "node 7")),
        ("moved", "IDENTITY", identity.clone()),
        ("newer", "IDENTITY", identity.replace("twm-data 3", "twm-data 9")),
        ("shared", ".twm-output", "hello".to_owned()),
    ] {
        fs::create_dir(at(folder))?;
        fs::write(at(folder).join(file), content)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_make_no_sense_say_so_with_the_right_exit_code() -> Test {
    let emulator = accounts(1).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    write_files(&cluster)?;
    let peer = cluster.address(1)?.to_owned();
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let new = "--id=1 --peers=1={free} --http=127.0.0.1:0 --data-dir=new-data --output=new-dataset";
    let places = Places::default()
        .with("peer", &peer)
        .with("web", peer.replace(":8000", ":9898"))
        .with("free", peer.replace(":8000", ":8001"))
        .with("data", cluster.data_dir(1).display().to_string())
        .with("closed", closed)
        .with("noise", stranger(b"\x7f\xff\xff\xff not one of us\r\n\r\n", false).await?)
        .with("silent", stranger(b"", false).await?)
        .with("endless", stranger(&[0xff; 4096], true).await?)
        .with("new", new)
        .with("at", "--endpoints={peer}");
    for rows in [SETTINGS, SURROUNDINGS, OPERATORS] {
        holds(rows, &places, cluster.folder()).await?;
    }
    assert_eq!(fs::read(cluster.folder().join("foreign/thesis.txt"))?, b"mine");
    assert_eq!(cluster.status().await?.leader, 1, "the node that ran continues");
    cluster.finish().await
}
