//! The client alone.

use std::io::Read;
use std::time::Duration;

use storage::net::hdfs::{Hdfs, HdfsError, HdfsProblem, HdfsUrl};
use tokio::time::Instant;
use twm_tests::server_process::free_port;

use super::{Store, shared};

fn opened(address: &str) -> Result<Hdfs, HdfsError> {
    Hdfs::open(&HdfsUrl::parse(&format!("hdfs://{address}/x")).unwrap(), shared().server.options())
}

#[test]
fn whatever_is_no_name_node_is_named() {
    let shared = shared();
    let at = |port: u16| format!("127.0.0.1:{port}");
    let error = opened(&at(shared.server.web_port())).unwrap_err();
    assert!(error.to_string().contains("is no name node (it answered \"HTTP/1.1"), "{error}");
    assert!(!error.is_temporary(), "{error}");
    let error = opened(&at(shared.server.data_ipc_port())).unwrap_err();
    assert!(error.to_string().contains("dfs.namenode.rpc-address"), "{error}");
    assert!(!error.is_temporary(), "{error}");
    // It says nothing: it could be a name node that starts.
    let error = opened(&at(shared.server.transfer_port())).unwrap_err();
    assert!(matches!(error.problem, HdfsProblem::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("closed the connection"), "{error}");
}

#[test]
fn a_name_node_that_is_away_does_not_keep_the_other_one_from_answering() {
    let shared = shared();
    let away = free_port().unwrap();
    let hdfs = opened(&format!("127.0.0.1:{away},{}", shared.server.address())).unwrap();
    hdfs.check_use().unwrap();
    assert!(hdfs.status("nothing").unwrap().is_none());
}

#[test]
fn a_file_is_closed_without_the_half_second_of_the_crate() {
    let store = Store::start();
    store.write("warm", b"up");
    let begun = Instant::now();
    for number in 0..20 {
        store.write(&format!("closed/{number}"), &[b'x'; 20_000]);
    }
    // With the pauses, it is more than ten seconds on any machine.
    assert!(begun.elapsed() < Duration::from_secs(9), "20 files in {:?}", begun.elapsed());
    assert_eq!(store.hdfs.status("closed/19").unwrap().unwrap().bytes, 20_000);
    // Everything was synced before.
    let mut file = store.hdfs.create("synced").unwrap();
    file.write("text".into()).unwrap();
    file.sync().unwrap();
    file.close().unwrap();
    assert_eq!(store.hdfs.status("synced").unwrap().unwrap().bytes, 4);
}

#[test]
fn the_file_of_a_writer_that_died_is_read_up_to_what_was_synced() {
    let store = Store::start();
    let mut dead = store.hdfs.create("dead").unwrap();
    dead.write(vec![b'a'; 3_000].into()).unwrap();
    dead.sync().unwrap();
    dead.write(vec![b'b'; 200_000].into()).unwrap();
    std::mem::forget(dead);
    assert!(store.hdfs.end_writing("dead").unwrap());
    let length = store.hdfs.status("dead").unwrap().unwrap().bytes;
    assert!((3_000..=203_000).contains(&length), "{length}");
    let mut text = Vec::new();
    store.hdfs.open_file("dead").unwrap().unwrap().take(3_000).read_to_end(&mut text).unwrap();
    assert!(text == vec![b'a'; 3_000]);
    assert!(!store.hdfs.end_writing("nothing").unwrap());
}

#[test]
fn a_writer_whose_file_was_ended_or_removed_learns_it() {
    let store = Store::start();
    for removed in [false, true] {
        let mut file = store.hdfs.create("file").unwrap();
        file.write("text".into()).unwrap();
        file.sync().unwrap();
        match removed {
            false => assert!(store.hdfs.end_writing("file").unwrap()),
            true => assert!(store.hdfs.delete("file").unwrap()),
        }
        let written = file.write("more".into()).and_then(|()| file.sync());
        let error = written.unwrap_err();
        assert!(error.is_of_one_file() || error.is_temporary(), "{error}");
        store.hdfs.delete("file").unwrap();
    }
}

#[test]
fn a_folder_of_thousands_is_listed_in_order() {
    let store = Store::start();
    for number in 0..2_300 {
        store.hdfs.create_folder(&format!("many/{number:04}")).unwrap();
    }
    let names = store.names("many");
    assert!(names.len() == 2_300 && names.is_sorted());
    assert!(store.hdfs.list("absent").unwrap().is_none());
}
