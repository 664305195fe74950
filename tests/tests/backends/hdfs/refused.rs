//! Servers that refuse.

use storage::dataset::{Dataset, DatasetError};
use storage::net::hdfs::HdfsOptions;
use tokio::runtime::Runtime;
use twm_tests::hdfs_server::HdfsServer;

use super::{OWNER, Store, account, finish};
use crate::contract::Backend;

const ADMIN: &str = "org.apache.hadoop.hdfs.tools.DFSAdmin";

#[test]
fn permission_quota_and_safe_mode_are_named_with_their_remedies() {
    let runtime = Runtime::new().unwrap();
    let permissions = [("dfs.permissions.enabled", "true")];
    let server = runtime.block_on(HdfsServer::start_with(&permissions)).unwrap();
    let admin = |arguments: &[&str]| runtime.block_on(server.run(ADMIN, arguments)).unwrap();
    let store = Store::of(runtime.block_on(server.open("data")).unwrap());
    let (node, key) = (store.node_of(OWNER), account().timeline());

    let stranger = HdfsOptions { user: Some("stranger".to_owned()), ..server.options() };
    let denied = runtime.block_on(server.open_with("data", stranger)).unwrap();
    let error = denied.check_use().unwrap_err();
    assert!(
        error.to_string().contains("-chown") && !error.is_temporary() && !error.is_of_one_file(),
        "{error}"
    );

    finish(&node, 1, 5);
    node.publish(&key, 1).unwrap();
    admin(&["-setQuota", "2", "/data"]);
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&6.into(), "{\"id\":6}").unwrap();
    let full = draft.save_point().unwrap_err();
    assert!(
        full.to_string().contains("-setQuota") && full.is_temporary() && full.is_of_the_place(),
        "{full}"
    );
    assert!(store.hdfs.check_use().unwrap_err().to_string().contains("-setQuota"));
    admin(&["-clrQuota", "/data"]);
    draft.save_point().unwrap();

    admin(&["-safemode", "enter"]);
    let safe = draft.finish().unwrap_err();
    assert!(
        safe.to_string().contains("-safemode") && safe.is_temporary() && safe.is_of_the_place(),
        "{safe}"
    );
    assert!(store.hdfs.check_use().unwrap_err().is_temporary());
    // What is there can be read.
    assert_eq!(node.newest_post(&account()).unwrap(), Some(5.into()));
    admin(&["-safemode", "leave"]);
    store.hdfs.check_use().unwrap();
    assert!(matches!(store.node().publish(&key, 2), Err(DatasetError::DraftLost { .. })));
    assert_eq!(store.names("").iter().filter(|name| name.starts_with(".twm-check")).count(), 0);
}
