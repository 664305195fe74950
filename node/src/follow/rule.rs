//! A checked rule.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::check::{self, Checked, Needs};
use super::error::{FollowRuleError, Undecided};
use super::patterns::Patterns;
use super::value::{Fields, user_value};
use crate::source::Profile;

/// Longest rule, in bytes.
const LONGEST_RULE: usize = 1000;

/// Stack for the parser's recursion, far more than the longest rule can need.
const PARSER_STACK: usize = 16 << 20;

/// A follow rule: decides which profiles join a crawl.
pub struct FollowRule {
    text: String,
    expression: IdedExpr,
    fields: Fields,
    /// Whether it reads `user.raw`.
    raw: bool,
    needs: Needs,
    patterns: Patterns,
    env: Arc<Env>,
}

impl fmt::Debug for FollowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FollowRule").field(&self.text).finish()
    }
}

impl FollowRule {
    /// Checks a rule without the profiles to come: its syntax, its names, and that it yields a result for an ordinary
    /// profile. A field that ordinary profiles lack may belong to another network.
    pub fn compile(text: &str) -> Result<Self, FollowRuleError> {
        if text.len() > LONGEST_RULE {
            return Err(FollowRuleError::TooLong { bytes: text.len(), limit: LONGEST_RULE });
        }
        let owned = text.to_owned();
        let worker = thread::Builder::new().name("follow-rule".to_owned()).stack_size(PARSER_STACK);
        let checking = worker.spawn(move || {
            let env = Arc::new(Env::stdlib().with_optional_support(false));
            let Checked { expression, fields, raw, needs, patterns } = check::check(&owned, &env)?;
            Ok(Self { text: owned, expression, fields, raw, needs, patterns, env })
        });
        // A panic of the parser ends only its thread.
        let checked = checking.map_err(|_no_thread| FollowRuleError::Unreadable)?.join();
        checked.unwrap_or(Err(FollowRuleError::Unreadable))
    }

    /// Checks that the profiles of a network have the names that the rule needs: those that it reads, other than those
    /// whose presence it tests (`has(user.lang)`, `'lang' in user`). `there` are the names that its profiles can have.
    ///
    /// # Errors
    /// The first name that is missing there.
    pub fn fits(&self, network: &'static str, there: &'static [&'static str]) -> Result<(), FollowRuleError> {
        match self.needs.missing_in(there) {
            None => Ok(()),
            Some((name, at)) => {
                Err(FollowRuleError::NotOfNetwork { name: name.to_owned(), at, network, there })
            }
        }
    }

    /// Whether the profile has all fields that the rule reads or tests, so that a fuller one would decide the same.
    pub fn is_decided_by(&self, profile: &Profile) -> bool {
        let Fields::These(names) = &self.fields else { return false };
        let found = user_value(profile, false, &self.fields).ok();
        let key = |name: &String| Key::String(Arc::new(name.clone()));
        let has = |map: &Map| names.iter().all(|name| map.map.contains_key(&key(name)));
        !self.raw && matches!(found, Some(Value::Map(map)) if has(&map))
    }

    /// The rule's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the rule admits a profile. An error concerns this profile only: it is not admitted, and
    /// counted.
    pub fn admits(&self, profile: &Profile) -> Result<bool, Undecided> {
        let user = user_value(profile, self.raw, &self.fields)
            .map_err(|error| Undecided::NoObject { what: error.to_string() })?;
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value("user", user);
        self.patterns.offer_to(&mut context).map_err(|error| Undecided::Unfit { what: error.to_string() })?;
        let outcome = catch_unwind(AssertUnwindSafe(|| Value::resolve(&self.expression, &context)));
        match outcome {
            Ok(Ok(Value::Bool(admitted))) => Ok(admitted),
            Ok(Ok(other)) => Err(Undecided::Unfit { what: format!("it gives a {}", other.type_of()) }),
            Ok(Err(ExecutionError::NoSuchKey(field))) => {
                Err(Undecided::MissingField { field: field.to_string() })
            }
            Ok(Err(error)) => Err(Undecided::Unfit { what: check::short(&error) }),
            Err(_panic) => Err(Undecided::Unfit { what: "the interpreter failed".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn a_pattern_is_compiled_with_its_rule_and_never_for_a_profile() {
        let raw = RawValue::from_string(r#"{"id":1,"name":"Ada"}"#.to_owned()).unwrap();
        let profile = Profile::from_twitter(raw).unwrap();
        let mut rule = FollowRule::compile("user.name.matches('^A')").unwrap();
        assert_eq!(rule.admits(&profile), Ok(true));
        rule.patterns = Patterns::default();
        let undecided = rule.admits(&profile).unwrap_err().to_string();
        assert!(undecided.contains("the pattern was not compiled"), "{undecided}");
    }
}
