//! Layers of settings: flags override the environment, which overrides the file, which overrides the
//! defaults.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use storage::net::secret;

use super::sources::{self, Sources};
use super::table::{SETTINGS, Setting, find, find_by_file, variable};
use super::{Problem, Problems};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(String),
    /// A key of the file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "flag --{key}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The given values by key, from the layer with the highest precedence.
pub(super) struct Layers {
    given: BTreeMap<&'static str, (String, Origin)>,
    pub(super) check_config: bool,
    pub(super) print_ips: bool,
    /// The sources of the file.
    pub(super) sources: Sources,
}

/// Largest settings file, bytes.
const MAX_FILE: u64 = 1 << 20;

impl Layers {
    /// Collects the layers. `environment` returns a variable's value.
    pub(super) fn collect(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, super::LoadError> {
        let matches = command().try_get_matches_from(arguments)?;
        let mut problems = Problems::default();
        let mut layers = Self {
            given: BTreeMap::new(),
            check_config: matches.get_flag("check-config"),
            print_ips: matches.get_flag("print-ips"),
            sources: Sources::new(),
        };
        let from_environment = |name: &str| environment(name).filter(|value| !value.is_empty());
        let file = matches.get_one::<OsString>("config").cloned().or_else(|| from_environment("TWM_CONFIG"));
        if let Some(path) = file {
            layers.add_file(Path::new(&path), &mut problems);
        }
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(value) = from_environment(&name) {
                layers.add(setting, value, Origin::Environment(name), &mut problems);
            }
            if let Some((path, name)) = setting.file.and_then(|file| {
                let name = variable(file);
                Some((from_environment(&name)?, name))
            }) {
                layers.add_secret(setting, &path, Origin::Environment(name), &mut problems);
            }
            if let Some(value) = flag(&matches, setting) {
                layers.add(setting, value, Origin::Flag(setting.key), &mut problems);
            }
            if let Some((path, file)) =
                setting.file.and_then(|file| Some((matches.get_one::<OsString>(file)?, file)))
            {
                layers.add_secret(setting, path, Origin::Flag(file), &mut problems);
            }
        }
        problems.none()?;
        Ok(layers)
    }

    /// The effective value.
    pub(super) fn value(&self, key: &str) -> Option<&(String, Origin)> {
        self.given.get(key)
    }

    fn add(&mut self, setting: &'static Setting, value: OsString, origin: Origin, problems: &mut Problems) {
        match value.into_string() {
            Ok(value) => {
                self.given.insert(setting.key, (value, origin));
            }
            Err(_) => {
                problems.add(setting.key, &origin, "the value is not UTF-8; write it in UTF-8".to_owned())
            }
        }
    }

    /// Uses the first line of a file as the value.
    fn add_secret(
        &mut self,
        setting: &'static Setting,
        path: &OsStr,
        origin: Origin,
        problems: &mut Problems,
    ) {
        match secret::first_line(Path::new(path)) {
            Ok(value) => {
                self.given.insert(setting.key, (value, origin));
            }
            Err(what) => {
                let what = format!("{}: {what}", Path::new(path).display());
                problems.add(setting.file.unwrap_or(setting.key), &origin, what);
            }
        }
    }

    fn add_file(&mut self, path: &Path, problems: &mut Problems) {
        let origin = Origin::File(path.to_owned());
        let table = match read_table(path) {
            Ok(table) => table,
            Err(what) => return problems.push(Problem { setting: None, origin, what }),
        };
        for (key, value) in table {
            if key == "source" {
                self.sources = sources::read(value, path, problems);
                continue;
            }
            if let (Some(setting), Some(secret)) = (find_by_file(&key), value.as_str()) {
                // Relative to the settings file, so that both can be moved together.
                let secret = path.parent().unwrap_or(Path::new(".")).join(secret);
                self.add_secret(setting, secret.as_os_str(), origin.clone(), problems);
                continue;
            }
            let Some(setting) = find(&key) else {
                let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
                let what = format!("there is no key {key:?}; the keys are {}", known.join(", "));
                problems.push(Problem { setting: None, origin: origin.clone(), what });
                continue;
            };
            match as_text(&value) {
                Some(text) => {
                    self.given.insert(setting.key, (text, origin.clone()));
                }
                None => {
                    let what = format!("a {} was given; give a text, a number or a list", value.type_str());
                    problems.add(setting.key, &origin, what);
                }
            }
        }
    }
}

fn read_table(path: &Path) -> Result<toml::Table, String> {
    let remedy = "check --config";
    let size = std::fs::metadata(path).map_err(|e| format!("it cannot be read: {e}; {remedy}"))?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes, and no settings file has more than {MAX_FILE}; {remedy}"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("it cannot be read: {e}; {remedy}"))?;
    text.parse().map_err(|e: toml::de::Error| format!("it is no TOML: {}", e.to_string().trim_end()))
}

/// A value as it would be given in a flag.
fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Some(value.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(as_text).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

fn flag(matches: &ArgMatches, setting: &Setting) -> Option<OsString> {
    match setting.value {
        Some(_) => matches.get_one::<OsString>(setting.key).cloned(),
        None => matches.get_flag(setting.key).then(|| "true".into()),
    }
}

/// The command line, built from the table.
fn command() -> Command {
    let command = Command::new("twm-node")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A node of a twm crawler cluster: takes part in Raft and crawls from its own addresses")
        .after_help(
            "Every setting can also be given as a variable (--data-dir as TWM_DATA_DIR) or in the file \
             (data-dir = \"...\").\nFlags override the environment, which overrides the file. Secrets may be in files of their own\n(--api-token-file, TWM_API_TOKEN_FILE, api-token-file = \"...\").\n\
             Exit codes: 0 stopped well, 1 failed, 2 bad settings.",
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(OsString))
                .help("Settings file (TOML)"),
        )
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Print the settings and where each comes from, and exit"),
        )
        .arg(
            Arg::new("print-ips")
                .long("print-ips")
                .action(ArgAction::SetTrue)
                .help("Print the addresses of --ips, one per line, and exit"),
        );
    SETTINGS.iter().fold(command, |command, setting| {
        let command = match setting.file {
            Some(file) => command.arg(
                Arg::new(file)
                    .long(file)
                    .help(format!("A file whose first line is the value of --{}", setting.key))
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(OsString))
                    .overrides_with(file)
                    .conflicts_with(setting.key),
            ),
            None => command,
        };
        let arg = Arg::new(setting.key).long(setting.key).help(setting.help()).hide(setting.hidden);
        command.arg(match setting.value {
            Some(name) => arg
                .value_name(name)
                .value_parser(clap::value_parser!(OsString))
                .allow_hyphen_values(true)
                .overrides_with(setting.key),
            None => arg.action(ArgAction::SetTrue).overrides_with(setting.key),
        })
    })
}
