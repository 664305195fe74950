//! Without a server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::*;

fn options() -> HdfsOptions {
    HdfsOptions { user: None, call: Duration::from_secs(20), transfer: Duration::from_secs(20) }
}

fn opened(address: &str) -> HdfsError {
    let url = HdfsUrl::parse(&format!("hdfs://{address}/data")).unwrap();
    Hdfs::open(&url, options()).unwrap_err()
}

#[test]
fn what_is_no_name_node_is_named_before_its_bytes_are_taken_for_lengths() {
    for (answer, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400"),
        ("-ERR wrong number of arguments for 'get' command\r\n", "-ERR wrong"),
        ("\x15\x03\x01\0\x02\x02\x46", "is no name node"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = opened(&address);
        server.join().unwrap();
        assert!(error.to_string().contains(expected) && error.to_string().contains(&address), "{error}");
        assert!(!error.is_temporary() && !error.is_of_one_file(), "{error}");
    }
}

#[test]
fn a_name_node_that_is_away_is_temporary_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = opened(&address);
    assert!(error.is_temporary() && error.to_string().contains(&address), "{error}");
}

#[test]
fn a_name_service_without_settings_is_no_panic() {
    let error = opened("no-such-service");
    assert!(matches!(error.problem, HdfsProblem::Setting(_)), "{error}");
    assert!(error.to_string().contains("HADOOP_CONF_DIR"), "{error}");
}
