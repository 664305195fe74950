//! Folders and files of a disk: as programs see them, and as they are on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};

use storage::env::{Entropy, SeededEntropy};

use super::content::Content;

/// The number of a file or folder.
pub(super) type Number = u64;

/// The number of the root folder, as in FUSE.
pub(super) const ROOT: Number = 1;

/// Reason for a failed operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum No {
    NotThere,
    Exists,
    NotEmpty,
    IsFolder,
    IsFile,
}

/// A file or a folder.
#[derive(Debug)]
pub(super) enum Thing {
    File(Content),
    Folder(Names),
}

/// Names in a folder.
type Names = BTreeMap<OsString, Number>;

/// An atomic change of names; a rename is a single one.
#[derive(Debug)]
struct Renaming(Vec<(Number, OsString, Option<Number>)>);

/// A disk.
#[derive(Debug)]
pub(super) struct Tree {
    things: HashMap<Number, Thing>,
    next: Number,
    /// Durable names, by folder.
    durable: HashMap<Number, Names>,
    /// Unsynced changes of names, in order.
    unsynced: Vec<Renaming>,
}

impl Default for Tree {
    fn default() -> Self {
        let things = HashMap::from([(ROOT, Thing::Folder(Names::new()))]);
        Self { things, next: ROOT + 1, durable: HashMap::new(), unsynced: Vec::new() }
    }
}

impl Tree {
    pub(super) fn get(&self, number: Number) -> Result<&Thing, No> {
        self.things.get(&number).ok_or(No::NotThere)
    }

    pub(super) fn content(&mut self, number: Number) -> Result<&mut Content, No> {
        match self.things.get_mut(&number) {
            Some(Thing::File(content)) => Ok(content),
            Some(Thing::Folder(_)) => Err(No::IsFolder),
            None => Err(No::NotThere),
        }
    }

    pub(super) fn names(&self, folder: Number) -> Result<&Names, No> {
        match self.get(folder)? {
            Thing::Folder(names) => Ok(names),
            Thing::File(_) => Err(No::IsFile),
        }
    }

    pub(super) fn look_up(&self, folder: Number, name: &OsStr) -> Result<Number, No> {
        self.names(folder)?.get(name).copied().ok_or(No::NotThere)
    }

    /// Number of names of a file.
    pub(super) fn links(&self, number: Number) -> u32 {
        let names = self.things.values().filter_map(|thing| match thing {
            Thing::Folder(names) => Some(names),
            Thing::File(_) => None,
        });
        names.flat_map(BTreeMap::values).filter(|other| **other == number).count() as u32
    }

    fn change(&mut self, changes: Vec<(Number, OsString, Option<Number>)>) {
        for (folder, name, number) in &changes {
            let Some(Thing::Folder(names)) = self.things.get_mut(folder) else { continue };
            match number {
                Some(number) => names.insert(name.clone(), *number),
                None => names.remove(name),
            };
        }
        self.unsynced.push(Renaming(changes));
    }

    /// Creates a file or folder.
    pub(super) fn make(&mut self, folder: Number, name: &OsStr, thing: Thing) -> Result<Number, No> {
        if self.look_up(folder, name).is_ok() {
            return Err(No::Exists);
        }
        self.names(folder)?;
        let number = self.next;
        self.next += 1;
        self.things.insert(number, thing);
        self.change(vec![(folder, name.to_owned(), Some(number))]);
        Ok(number)
    }

    /// Adds a name to a file.
    pub(super) fn link(&mut self, number: Number, folder: Number, name: &OsStr) -> Result<(), No> {
        self.content(number)?;
        if self.look_up(folder, name).is_ok() {
            return Err(No::Exists);
        }
        self.names(folder)?;
        self.change(vec![(folder, name.to_owned(), Some(number))]);
        Ok(())
    }

    /// Removes a name. A file without a name stays available to processes that have it open.
    pub(super) fn remove(&mut self, folder: Number, name: &OsStr, is_folder: bool) -> Result<(), No> {
        match (self.get(self.look_up(folder, name)?)?, is_folder) {
            (Thing::Folder(names), true) if names.is_empty() => {}
            (Thing::Folder(_), true) => return Err(No::NotEmpty),
            (Thing::Folder(_), false) => return Err(No::IsFolder),
            (Thing::File(_), true) => return Err(No::IsFile),
            (Thing::File(_), false) => {}
        }
        self.change(vec![(folder, name.to_owned(), None)]);
        Ok(())
    }

    /// Renames a file or folder, replacing an existing target.
    pub(super) fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), No> {
        let number = self.look_up(from.0, from.1)?;
        self.names(to.0)?;
        if let Ok(there) = self.look_up(to.0, to.1) {
            if there == number {
                return Ok(());
            }
            if self.names(there).is_ok_and(|names| !names.is_empty()) {
                return Err(No::NotEmpty);
            }
        }
        self.change(vec![(from.0, from.1.to_owned(), None), (to.0, to.1.to_owned(), Some(number))]);
        Ok(())
    }

    /// Makes the names in this folder durable, including the other half of each rename.
    pub(super) fn sync_names(&mut self, folder: Number) {
        let (synced, unsynced) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|Renaming(changes)| changes.iter().any(|(of, ..)| *of == folder));
        self.unsynced = unsynced;
        let synced: Vec<Renaming> = synced;
        synced.into_iter().for_each(|renaming| self.make_durable(renaming));
    }

    fn make_durable(&mut self, Renaming(changes): Renaming) {
        for (folder, name, number) in changes {
            let names = self.durable.entry(folder).or_default();
            match number {
                Some(number) => names.insert(name, number),
                None => names.remove(&name),
            };
        }
    }

    /// The numbers of name changes and of file bytes that a cut may lose.
    pub(super) fn at_risk(&self) -> (usize, usize) {
        let bytes = |thing: &Thing| match thing {
            Thing::File(content) => content.at_risk(),
            Thing::Folder(_) => 0,
        };
        (self.unsynced.len(), self.things.values().map(bytes).sum())
    }

    /// Cuts the power: durable data remains, and part of the rest.
    pub(super) fn cut(&mut self, dice: &SeededEntropy) {
        for renaming in std::mem::take(&mut self.unsynced) {
            if dice.next_u64() % 2 == 0 {
                self.make_durable(renaming);
            }
        }
        // Sorted, so that the order does not depend on the hasher.
        let numbers: BTreeSet<Number> = self.things.keys().copied().collect();
        for number in numbers {
            match self.things.get_mut(&number) {
                Some(Thing::File(content)) => content.cut(dice),
                Some(Thing::Folder(names)) => {
                    *names = self.durable.get(&number).cloned().unwrap_or_default();
                }
                None => {}
            }
        }
        self.forget_nameless();
    }

    fn forget_nameless(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            let Ok(names) = self.names(folder) else { continue };
            folders
                .extend(names.values().copied().filter(|number| named.insert(*number)).collect::<Vec<_>>());
        }
        self.things.retain(|number, _| named.contains(number));
        self.durable.retain(|number, _| named.contains(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tree: &mut Tree, name: &str, text: &str) -> Number {
        let number = tree.make(ROOT, name.as_ref(), Thing::File(Content::default())).unwrap();
        tree.content(number).unwrap().write(0, text.as_bytes());
        number
    }

    fn text(tree: &mut Tree, name: &str) -> Option<String> {
        let number = tree.look_up(ROOT, name.as_ref()).ok()?;
        Some(String::from_utf8_lossy(tree.content(number).unwrap().read(0, 100)).into_owned())
    }

    /// The content of two names after a cut, over many seeds.
    fn after_cuts(scene: impl Fn(&mut Tree)) -> BTreeSet<[Option<String>; 2]> {
        let cut = |seed| {
            let mut tree = Tree::default();
            scene(&mut tree);
            tree.cut(&SeededEntropy::new(seed));
            ["a", "b"].map(|name| text(&mut tree, name))
        };
        (0..300).map(cut).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_file_is_there_for_certain_only_when_it_and_its_name_were_synced() {
        let synced = after_cuts(|tree| {
            let number = file(tree, "a", "x");
            tree.content(number).unwrap().sync();
            tree.sync_names(ROOT);
        });
        assert_eq!(synced, [[some("x"), None]].into());
        let nameless = after_cuts(|tree| {
            let number = file(tree, "a", "x");
            tree.content(number).unwrap().sync();
        });
        assert_eq!(nameless, [[some("x"), None], [None, None]].into());
        let empty = after_cuts(|tree| {
            file(tree, "a", "x");
            tree.sync_names(ROOT);
        });
        assert_eq!(empty, [[some("x"), None], [some(""), None], [some("\0"), None]].into());
    }

    #[test]
    fn a_rename_is_made_as_a_whole_or_not_at_all() {
        let renamed = after_cuts(|tree| {
            for (name, text) in [("a", "new"), ("b", "old")] {
                let number = file(tree, name, text);
                tree.content(number).unwrap().sync();
            }
            tree.sync_names(ROOT);
            tree.rename((ROOT, "a".as_ref()), (ROOT, "b".as_ref())).unwrap();
        });
        assert_eq!(renamed, [[some("new"), some("old")], [None, some("new")]].into());
    }

    #[test]
    fn a_folder_whose_name_is_lost_is_lost_with_all_that_is_in_it() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut tree = Tree::default();
            let folder = tree.make(ROOT, "f".as_ref(), Thing::Folder(Names::new())).unwrap();
            let inner = tree.make(folder, "i".as_ref(), Thing::File(Content::default())).unwrap();
            tree.sync_names(folder);
            tree.cut(&SeededEntropy::new(seed));
            let named = tree.look_up(ROOT, "f".as_ref()).is_ok();
            assert_eq!(tree.get(inner).is_ok(), named, "seed {seed}");
            lost += u32::from(!named);
        }
        assert!((20..80).contains(&lost), "{lost}");
    }

    #[test]
    fn names_that_are_taken_and_folders_that_are_not_empty_stay() {
        let mut tree = Tree::default();
        let folder = tree.make(ROOT, "f".as_ref(), Thing::Folder(Names::new())).unwrap();
        let inner = tree.make(folder, "i".as_ref(), Thing::File(Content::default())).unwrap();
        assert_eq!(tree.make(ROOT, "f".as_ref(), Thing::File(Content::default())), Err(No::Exists));
        assert_eq!(tree.remove(ROOT, "f".as_ref(), true), Err(No::NotEmpty));
        assert_eq!(tree.remove(ROOT, "f".as_ref(), false), Err(No::IsFolder));
        tree.link(inner, ROOT, "again".as_ref()).unwrap();
        assert_eq!(tree.links(inner), 2);
        tree.remove(folder, "i".as_ref(), false).unwrap();
        assert_eq!(tree.links(inner), 1);
        assert_eq!(tree.remove(folder, "i".as_ref(), false), Err(No::NotThere));
        tree.remove(ROOT, "f".as_ref(), true).unwrap();
    }
}
