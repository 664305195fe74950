//! Checks a rule before it is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::{Context, Env, ExecutionError, IdedExpr, ParseErrors, Value};

use super::error::{FollowRuleError, Position};
use super::patterns::Patterns;
use super::sample::SAMPLE_PROFILE;
use super::value::{Fields, RAW, profile_value};
use crate::source::FieldNames;

/// Functions that rules may call. Each takes time linear in its arguments; a pattern of `matches` has to be a
/// literal.
pub(super) const FUNCTIONS: [&str; 12] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
    "dyn",
];

/// Operators are functions whose names are not valid identifiers.
fn is_operator(name: &str) -> bool {
    name.contains('_') && !name.chars().all(|c| c.is_alphanumeric() || c == '_') || name.starts_with('@')
}

/// Deepest nesting, of expressions and of brackets. An evaluation recurses as deep.
const DEEPEST: usize = 64;
const DEEPEST_PARSE: u16 = 48;

/// Longest quoted part of an interpreter's message, which can contain a whole profile.
const LONGEST_QUOTE: usize = 200;

/// An accepted rule.
pub(super) struct Checked {
    pub(super) expression: IdedExpr,
    pub(super) fields: Fields,
    /// Whether it reads the network's own object.
    pub(super) raw: bool,
    pub(super) needs: Needs,
    pub(super) patterns: Patterns,
}

/// The names of a profile that a rule reads, each where it does so first, and those whose presence it tests: it says
/// what is to be done without these.
#[derive(Debug, Default)]
pub(super) struct Needs {
    read: BTreeMap<String, Position>,
    tested: BTreeSet<String>,
}

impl Needs {
    /// The first name in the rule that is needed and is not one of `there`.
    pub(super) fn missing_in(&self, there: &[&str]) -> Option<(&str, Position)> {
        let missing = self.read.iter().filter(|(name, _)| {
            *name != RAW && !self.tested.contains(*name) && !there.contains(&name.as_str())
        });
        let first = missing.min_by_key(|(_, at)| (at.line, at.column));
        first.map(|(name, at)| (name.as_str(), *at))
    }
}

/// Parses and checks a rule.
pub(super) fn check(text: &str, env: &Arc<Env>) -> Result<Checked, FollowRuleError> {
    let parser = env.parser().max_recursion_depth(DEEPEST_PARSE);
    let (expression, source) = parser.parse_with_source_info(text).map_err(|errors| syntax(&errors))?;
    let mut walk = Walk {
        source: &source,
        scope: vec!["user".to_owned()],
        loops: 0,
        fields: Fields::These(BTreeSet::new()),
        raw: false,
        needs: Needs::default(),
        patterns: Patterns::default(),
    };
    walk.visit(&expression, 0)?;
    let Walk { fields, raw, needs, patterns, .. } = walk;
    let mut context = Context::with_env(Arc::clone(env));
    // The sample is part of this program, so reading it cannot fail; if it did, the rule would fail on it.
    let user = profile_value(SAMPLE_PROFILE, FieldNames::Twitter, &Fields::All).unwrap_or(Value::Null);
    context.add_variable_from_value("user", user);
    // Fails if the interpreter already has the function: it was then built with an unexpected feature.
    patterns.offer_to(&mut context).map_err(|_taken| FollowRuleError::Unreadable)?;
    conditions(&expression, &context, &source)?;
    Ok(Checked { expression, fields, raw, needs, patterns })
}

/// An interpreter's message, shortened.
pub(super) fn short(error: &ExecutionError) -> String {
    cut(&error.to_string())
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_QUOTE).collect()
}

fn syntax(errors: &ParseErrors) -> FollowRuleError {
    let first = errors.errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    let what = first
        .map_or_else(|| "no expression".to_owned(), |error| error.msg.chars().take(LONGEST_QUOTE).collect());
    let at = Position {
        line: usize::try_from(line).unwrap_or(1).max(1),
        column: usize::try_from(column).unwrap_or(1).max(1),
    };
    if what.contains("recursion") {
        return FollowRuleError::TooDeep { at };
    }
    FollowRuleError::Syntax { at, what }
}

fn position(source: &SourceInfo, expression: &IdedExpr) -> Position {
    let offset = source.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
    let before: String = source.source.chars().take(offset).collect();
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    Position { line: before.matches('\n').count() + 1, column }
}

/// Evaluates each condition of a rule by itself on the sample: `a && b` must not hide an error in `b`.
fn conditions(
    expression: &IdedExpr,
    context: &Context<'_, '_>,
    source: &SourceInfo,
) -> Result<(), FollowRuleError> {
    if let Expr::Call(call) = &expression.expr {
        let joins =
            [operators::LOGICAL_AND, operators::LOGICAL_OR, operators::LOGICAL_NOT, operators::CONDITIONAL];
        if joins.contains(&call.func_name.as_str()) {
            return call.args.iter().try_for_each(|part| conditions(part, context, source));
        }
    }
    let at = position(source, expression);
    match catch_unwind(AssertUnwindSafe(|| Value::resolve(expression, context))) {
        Ok(Ok(Value::Bool(_))) => Ok(()),
        Ok(Ok(other)) => Err(FollowRuleError::NotBoolean { at, found: other.type_of().to_string() }),
        // Other networks have other fields.
        Ok(Err(ExecutionError::NoSuchKey(_))) => Ok(()),
        Ok(Err(error)) => Err(FollowRuleError::Fails { at, what: short(&error) }),
        Err(_panic) => Err(FollowRuleError::Fails { at, what: "the interpreter failed".to_owned() }),
    }
}

/// Visits all parts of a rule once.
struct Walk<'a> {
    source: &'a SourceInfo,
    /// Names in scope: `user`, and the variables of loops.
    scope: Vec<String>,
    loops: usize,
    fields: Fields,
    raw: bool,
    needs: Needs,
    patterns: Patterns,
}

impl Walk<'_> {
    fn visit(&mut self, expression: &IdedExpr, depth: usize) -> Result<(), FollowRuleError> {
        let at = position(self.source, expression);
        if depth > DEEPEST {
            return Err(FollowRuleError::TooDeep { at });
        }
        let unsupported = |what| Err(FollowRuleError::Unsupported { what, at });
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name, at),
            Expr::Select(select) if is_user(&select.operand) => {
                self.field(&select.field, (!select.test).then_some(at));
                Ok(())
            }
            Expr::Select(select) => self.visit(&select.operand, depth),
            Expr::Call(_) => self.call(expression, at, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth).and_then(|()| self.visit(&entry.value, depth))
                }
                EntryExpr::StructField(_) => Err(FollowRuleError::Unsupported { what: "a message", at }),
            }),
            Expr::Comprehension(_) => self.comprehension(expression, at, depth),
            Expr::Struct(_) => unsupported("a message"),
            Expr::Unspecified => unsupported("a gap"),
        }
    }

    fn name(&mut self, name: &str, at: Position) -> Result<(), FollowRuleError> {
        if !self.scope.iter().any(|known| known == name) {
            return Err(FollowRuleError::UnknownVariable { name: name.to_owned(), at });
        }
        if name == "user" {
            self.fields = Fields::All;
        }
        Ok(())
    }

    /// A name of the profile, read at `read_at`, or tested for presence.
    fn field(&mut self, name: &str, read_at: Option<Position>) {
        match read_at {
            Some(at) => {
                self.needs.read.entry(name.to_owned()).or_insert(at);
            }
            None => {
                self.needs.tested.insert(name.to_owned());
            }
        }
        if name == RAW {
            self.raw = true;
            return;
        }
        if let Fields::These(names) = &mut self.fields {
            names.insert(name.to_owned());
        }
    }

    fn call(&mut self, expression: &IdedExpr, at: Position, depth: usize) -> Result<(), FollowRuleError> {
        let Expr::Call(call) = &expression.expr else { return Ok(()) };
        let name = call.func_name.as_str();
        if !is_operator(name) && !FUNCTIONS.contains(&name) {
            return Err(FollowRuleError::UnknownFunction { name: name.to_owned(), at });
        }
        if name == "matches" {
            self.pattern(call, at)?;
        }
        if let (operators::INDEX, [object, index]) = (name, call.args.as_slice()) {
            if let (true, Expr::Literal(LiteralValue::String(field))) = (is_user(object), &index.expr) {
                self.field(field.inner(), Some(at));
                return Ok(());
            }
        }
        if let (operators::IN, [name, object]) = (name, call.args.as_slice()) {
            if let (Expr::Literal(LiteralValue::String(field)), true) = (&name.expr, is_user(object)) {
                self.field(field.inner(), None);
            }
        }
        call.target.iter().try_for_each(|target| self.visit(target, depth))?;
        call.args.iter().try_for_each(|part| self.visit(part, depth))
    }

    /// `text.matches(pattern)` or `matches(text, pattern)`.
    fn pattern(&mut self, call: &CallExpr, at: Position) -> Result<(), FollowRuleError> {
        let pattern = match (&call.target, call.args.as_slice()) {
            (Some(_), [pattern]) | (None, [_, pattern]) => &pattern.expr,
            _ => {
                return Err(FollowRuleError::Unsupported {
                    what: "matches with more or less than a pattern",
                    at,
                });
            }
        };
        let Expr::Literal(LiteralValue::String(pattern)) = pattern else {
            return Err(FollowRuleError::Unsupported { what: "a pattern that is no text in quotes", at });
        };
        self.patterns
            .add(pattern.inner())
            .map_err(|what| FollowRuleError::BadPattern { at, what: cut(&what) })
    }

    /// A loop over a list. Nested loops could take unbounded time.
    fn comprehension(
        &mut self,
        expression: &IdedExpr,
        at: Position,
        depth: usize,
    ) -> Result<(), FollowRuleError> {
        let Expr::Comprehension(over) = &expression.expr else { return Ok(()) };
        self.visit(&over.iter_range, depth)?;
        self.visit(&over.accu_init, depth)?;
        if self.loops > 0 {
            return Err(FollowRuleError::Unsupported { what: "a loop within a loop", at });
        }
        let names = [Some(&over.iter_var), over.iter_var2.as_ref(), Some(&over.accu_var)];
        let outside = self.scope.len();
        self.scope.extend(names.into_iter().flatten().cloned());
        self.loops += 1;
        let within = [&over.loop_cond, &over.loop_step, &over.result];
        let outcome = within.into_iter().try_for_each(|part| self.visit(part, depth));
        self.loops -= 1;
        self.scope.truncate(outside);
        outcome
    }
}

fn is_user(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == "user")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
