//! Adds to an answer what its objects refer to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::apps::Object;
use super::call::Call;
use super::objects;
use super::problem::missing;
use super::wording::Names;
use crate::emulator::world::{Accounts, Standing};

/// Fields that always come.
const USER_ALWAYS: [&str; 3] = ["id", "name", "username"];

/// An answer under construction.
pub(super) struct Page<'a> {
    accounts: &'a Accounts,
    names: &'a Names,
    host: &'a str,
    call: &'a Call,
    data: Vec<Value>,
    posts: BTreeMap<u64, Value>,
    users: BTreeMap<u64, Value>,
    media: BTreeMap<String, Value>,
    places: BTreeMap<String, Value>,
    errors: Vec<Value>,
    charged: Vec<Object>,
}

impl<'a> Page<'a> {
    pub fn new(accounts: &'a Accounts, names: &'a Names, host: &'a str, call: &'a Call) -> Self {
        let (data, errors, charged) = (Vec::new(), Vec::new(), Vec::new());
        let (posts, users) = (BTreeMap::new(), BTreeMap::new());
        let (media, places) = (BTreeMap::new(), BTreeMap::new());
        Self { accounts, names, host, call, data, posts, users, media, places, errors, charged }
    }

    fn expands(&self, name: &str) -> bool {
        self.call.expansions.contains(name)
    }

    pub fn error(&mut self, why: u16, resource: &str, parameter: &str, value: &str) {
        self.errors.push(missing(self.host, why, resource, parameter, value));
    }

    /// Objects in `data`.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Adds a post to `data`, and what it refers to to `includes`.
    pub fn post(&mut self, id: u64, author: u64, post: Map<String, Value>) {
        if self.expands("author_id") {
            self.include_user(author);
        }
        if self.expands("in_reply_to_user_id") {
            let replied =
                post.get("in_reply_to_user_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            replied.into_iter().for_each(|user| self.include_user(user));
        }
        if self.expands(self.names.reference_expansion) {
            for (_, referenced, author) in objects::references(self.accounts, id) {
                self.include_post(referenced, author);
            }
        }
        if self.expands("attachments.media_keys") {
            for key in objects::media_keys(id) {
                if let Some(media) = objects::media(&key) {
                    self.media.insert(key, Value::Object(media));
                }
            }
        }
        if let Some(place) = objects::place(id).filter(|_| self.expands("geo.place_id")) {
            if let Some(object) = objects::place_object(&place) {
                self.places.insert(place, Value::Object(object));
            }
        }
        self.charged.push(('p', id));
        self.data.push(self.selected_post(post));
    }

    /// Adds a user to `data`, charged as a follower or as one that was looked up.
    pub fn user(&mut self, kind: char, id: u64, user: Map<String, Value>) {
        if let Some((post, object)) =
            objects::pinned(self.names, id).filter(|_| self.expands(self.names.pinned))
        {
            let object = self.selected_post(object);
            self.posts.insert(post, object);
        }
        self.charged.push((kind, id));
        self.data.push(self.selected_user(user));
    }

    fn include_user(&mut self, id: u64) {
        if let Some(user) = objects::user(self.accounts, self.names, id) {
            let user = self.selected_user(user);
            self.users.insert(id, user);
        }
    }

    fn include_post(&mut self, id: u64, author: u64) {
        match self.accounts.standing(author) {
            Standing::Gone(why) => {
                let resource = self.names.resource;
                let why = if why == 401 { 401 } else { 404 };
                self.error(why, resource, self.names.reference_expansion, &id.to_string());
            }
            Standing::Open => {
                let Some(post) = objects::referenced(self.names, id, author) else { return };
                let post = self.selected_post(post);
                self.posts.insert(id, post);
                if self.names.reference_author_expansion.is_some_and(|name| self.expands(name)) {
                    self.include_user(author);
                }
            }
        }
    }

    fn selected_post(&self, post: Map<String, Value>) -> Value {
        let always = ["id", "text", self.names.edit_history];
        let mut asked = self.call.post_fields.clone();
        // An expansion adds the field that it follows.
        let fields = [
            ("author_id", "author_id"),
            ("in_reply_to_user_id", "in_reply_to_user_id"),
            (self.names.reference_expansion, self.names.references),
            ("attachments.media_keys", "attachments"),
            ("geo.place_id", "geo"),
        ];
        asked.extend(
            fields.iter().filter(|(name, _)| self.expands(name)).map(|(_, field)| (*field).to_owned()),
        );
        objects::select(post, &always, &asked)
    }

    fn selected_user(&self, user: Map<String, Value>) -> Value {
        let mut asked: BTreeSet<String> = self.call.user_fields.clone();
        if self.expands(self.names.pinned) {
            asked.insert(self.names.pinned.to_owned());
        }
        objects::select(user, &USER_ALWAYS, &asked)
    }

    /// The whole answer, and what it is charged for. Parts without content are left out, as the API does.
    pub fn finish(mut self, meta: Option<Value>) -> (Value, Vec<Object>) {
        self.charged.extend(self.posts.keys().map(|id| ('p', *id)));
        self.charged.extend(self.users.keys().map(|id| ('u', *id)));
        let mut includes = Map::new();
        let posts = (self.names.included, self.posts.into_values().collect::<Vec<_>>());
        let users = ("users", self.users.into_values().collect());
        let media = ("media", self.media.into_values().collect());
        let places = ("places", self.places.into_values().collect());
        for (name, part) in [posts, users, media, places] {
            if !part.is_empty() {
                includes.insert(name.to_owned(), Value::Array(part));
            }
        }
        let mut answer = Map::new();
        let parts =
            [("data", json!(self.data)), ("includes", json!(includes)), ("errors", json!(self.errors))];
        for (name, part) in parts {
            let empty =
                part.as_array().is_some_and(Vec::is_empty) || part.as_object().is_some_and(Map::is_empty);
            if !empty {
                answer.insert(name.to_owned(), part);
            }
        }
        if let Some(meta) = meta {
            answer.insert("meta".to_owned(), meta);
        }
        (Value::Object(answer), self.charged)
    }
}
