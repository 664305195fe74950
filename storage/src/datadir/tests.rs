use super::*;

fn identity(node: u64) -> Identity {
    Identity { name: "main".to_owned(), cluster: 7 << 100, node, disk: 5, stage: Stage::Member }
}

fn vacant(root: &Path, node: u64) -> Vacant {
    match DataDir::look(root, "main", node).unwrap() {
        Found::Vacant(vacant) => vacant,
        Found::Ours(data) => panic!("{data:?}"),
    }
}

fn made(root: &Path, node: u64) -> DataDir {
    vacant(root, node).claim(identity(node)).unwrap()
}

fn open(root: &Path, name: &str, node: u64) -> Result<DataDir, DataDirError> {
    match DataDir::look(root, name, node)? {
        Found::Ours(data) => Ok(data),
        Found::Vacant(vacant) => panic!("{vacant:?}"),
    }
}

#[test]
fn a_look_at_an_empty_or_missing_folder_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("a/b");
    drop(vacant(&missing, 1));
    assert!(!missing.exists());
    drop(vacant(temp.path(), 1));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_claimed_once_and_known_again() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b/data");
    let first = made(&root, 3);
    assert_eq!(first.log(), root.join("log"));
    drop(first);
    assert_eq!(open(&root, "main", 3).unwrap().identity(), &identity(3));
}

#[test]
fn a_folder_that_becomes_a_members_is_known_as_one() {
    let temp = tempfile::tempdir().unwrap();
    let forming = Identity { stage: Stage::Forming, ..identity(3) };
    let mut data = vacant(temp.path(), 3).claim(forming).unwrap();
    data.set_identity(identity(3)).unwrap();
    drop(data);
    assert_eq!(open(temp.path(), "main", 3).unwrap().identity().stage, Stage::Member);
}

#[test]
fn a_second_process_is_told_that_another_node_runs_there() {
    let temp = tempfile::tempdir().unwrap();
    let first = made(temp.path(), 1);
    // A lock belongs to an open file, so a second handle acts as a second process.
    let text = DataDir::look(temp.path(), "main", 1).unwrap_err().to_string();
    assert!(text.contains(&temp.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("another node runs there (process {})", std::process::id())), "{text}");
    drop(first);
    open(temp.path(), "main", 1).unwrap();
}

#[test]
fn a_folder_of_another_node_or_cluster_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    drop(made(temp.path(), 1));
    let error = DataDir::look(temp.path(), "main", 2).unwrap_err();
    assert!(matches!(error, DataDirError::OtherNode { found: 1, expected: 2, .. }), "{error}");
    let error = DataDir::look(temp.path(), "test", 1).unwrap_err();
    assert!(matches!(error, DataDirError::OtherCluster { .. }), "{error}");
    assert!(matches!(DataDir::look(temp.path(), "a\nb", 1), Err(DataDirError::BadClusterName(_))));
    open(temp.path(), "main", 1).unwrap();
}

#[test]
fn an_identity_of_another_format_or_a_damaged_one_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(made(temp.path(), 1));
    let path = temp.path().join(IDENTITY);
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("twm-data 3", "twm-data 7")).unwrap();
    let error = DataDir::look(temp.path(), "main", 1).unwrap_err();
    assert!(matches!(error, DataDirError::NewerFormat { found: 7, supported: 3, .. }), "{error}");

    let old = "twm-data 1\ncluster main\nnode 1\nstorage 3f2a9c01d4e5b677\ncheck 9b1c02aa\n";
    fs::write(&path, old).unwrap();
    let error = DataDir::look(temp.path(), "main", 1).unwrap_err();
    assert!(matches!(error, DataDirError::OlderFormat { found: 1, .. }), "{error}");
    assert!(error.to_string().contains("--adopt-output"), "{error}");

    for bad in ["", "hello", &good[..good.len() - 4], &good.replace("node 1", "node 2"), "\u{0}\u{0}"] {
        fs::write(&path, bad).unwrap();
        let error = DataDir::look(temp.path(), "main", 1).unwrap_err();
        assert!(matches!(error, DataDirError::DamagedIdentity { .. }), "{bad:?}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn foreign_data_is_refused_and_an_interrupted_claim_is_not() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("IDENTITY.new"), "twm-da").unwrap();
    drop(made(temp.path(), 1));

    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("log")).unwrap();
    let error = DataDir::look(other.path(), "main", 1).unwrap_err();
    assert!(matches!(&error, DataDirError::ForeignData { found, .. } if found == "log"), "{error}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing is written into it");
}
