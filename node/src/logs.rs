//! Logging: to stderr, to daily files if a folder is given, and the newest lines to the monitor.

mod private;
mod ring;

use std::path::PathBuf;
use std::sync::Arc;

use storage::env::SystemClock;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use private::Private;
pub use ring::{LogLine, LogRing};

use crate::settings::{LogFormat, LogSettings};

/// Daily files kept in `--log-dir`.
const FILES_KEPT: usize = 14;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder of the files.
    #[error("cannot write log files in {}: {what}; check --log-dir, its owner and the disk", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What went wrong.
        what: String,
    },
    /// The filter.
    #[error("--log-level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// This process logs already.
    #[error("logging was set up twice in one process: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Keeps the writer of the files alive. Pending lines are written on drop.
#[must_use = "log files end when it is dropped"]
#[derive(Debug)]
pub struct LogGuard {
    _files: Option<WorkerGuard>,
    /// The newest lines.
    pub newest: LogRing,
}

/// Starts logging for this process.
pub fn start(settings: &LogSettings, node: u64) -> Result<LogGuard, LogError> {
    let (files, guard) = match &settings.dir {
        None => (None, None),
        Some(dir) => {
            private::make_folder(dir)
                .map_err(|error| LogError::Folder { dir: dir.clone(), what: error.to_string() })?;
            let prefix = format!("twm-node-{node}");
            let appender = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(&prefix)
                .filename_suffix("log")
                .max_log_files(FILES_KEPT)
                .build(dir)
                .map_err(|e| LogError::Folder { dir: dir.clone(), what: root_cause(&e) })?;
            // A full disk must not block the node: lines beyond the buffer are dropped.
            let files = Private::over(appender, dir, &prefix, Arc::new(SystemClock::new()));
            let (writer, guard) = NonBlocking::new(files);
            (Some(writer), Some(guard))
        }
    };
    let filter = EnvFilter::builder().parse(&settings.level)?;
    let newest = LogRing::new(Arc::new(SystemClock::new()));
    let subscriber = Registry::default()
        .with(filter)
        .with(newest.clone())
        .with(files.map(|files| lines(settings.format, files)))
        .with(lines(settings.format, std::io::stderr));
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(LogGuard { _files: guard, newest })
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
