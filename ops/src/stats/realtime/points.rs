//! Where points go.

use crate::service::ServiceEnd;
use crate::stats::carbon::Carbon;
use crate::stats::counters::Reading;
use crate::stats::event;
use crate::stats::points_file::PointsFile;

/// Most bytes of lines that are buffered before they are written.
const GATHERED: usize = 256 * 1024;
/// Most bytes of lines that wait for a full disk.
const UNWRITTEN: usize = 16 * 1024 * 1024;
/// How often messages that are not points are logged: the first, and one in this many.
const COMPLAIN_EVERY: u64 = 1_000;

/// Buffers points and passes them on.
pub(super) struct Points {
    /// Absent only while it is being written.
    file: Option<PointsFile>,
    carbon: Option<Carbon>,
    lines: Vec<u8>,
    points: u64,
    unwritten: Vec<u8>,
    /// Points that were not written because the disk was full for too long.
    lost: u64,
    /// The last error of the file.
    trouble: Option<String>,
    bad_messages: u64,
    odd: Vec<&'static str>,
}

impl Points {
    /// Points for a file, carbon, or both.
    pub(super) fn new(file: Option<PointsFile>, carbon: Option<String>) -> Self {
        let carbon = carbon.map(Carbon::start);
        let (lines, unwritten, odd) = (Vec::new(), Vec::new(), Vec::new());
        Self { file, carbon, lines, points: 0, unwritten, lost: 0, trouble: None, bad_messages: 0, odd }
    }

    pub(super) fn add_counters(&mut self, reading: &Reading) {
        self.lines.extend_from_slice(&reading.lines);
        self.points += reading.points;
        if self.odd != reading.odd {
            self.odd.clone_from(&reading.odd);
            if !self.odd.is_empty() {
                tracing::warn!("these counters hold no number and are left out: {}", self.odd.join(", "));
            }
        }
    }

    /// Processes a message. An invalid one is counted, and otherwise ignored.
    pub(super) async fn add_event(&mut self, channel: &str, payload: &[u8]) {
        match event::line(channel, payload) {
            Ok(line) => {
                self.lines.extend_from_slice(line.as_bytes());
                self.points += 1;
            }
            Err(why) => {
                self.bad_messages += 1;
                if self.bad_messages % COMPLAIN_EVERY == 1 {
                    let count = self.bad_messages;
                    tracing::warn!(
                        count,
                        ?channel,
                        "a message is not [value, unix_seconds] and is skipped: {why}"
                    );
                }
            }
        }
        if self.lines.len() >= GATHERED {
            self.flush().await;
        }
    }

    /// Writes the buffered points.
    pub(super) async fn flush(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let points = std::mem::take(&mut self.points);
        if let Some(carbon) = self.carbon.as_mut().filter(|_| !lines.is_empty()) {
            carbon.offer(&lines, points);
        }
        if self.unwritten.len() + lines.len() > UNWRITTEN {
            self.lost += points;
        } else if self.file.is_some() {
            self.unwritten.extend_from_slice(&lines);
        }
        self.write().await;
    }

    async fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let Some(mut file) = self.file.take() else { return };
        let lines = std::mem::take(&mut self.unwritten);
        let written = tokio::task::spawn_blocking(move || {
            let result = file.append(&lines);
            (file, lines, result)
        });
        match written.await {
            Ok((file, _, Ok(()))) => {
                self.file = Some(file);
                if self.trouble.take().is_some() {
                    tracing::info!(lost = self.lost, "the file is written again");
                }
            }
            Ok((file, lines, Err(error))) => {
                (self.file, self.unwritten) = (Some(file), lines);
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    tracing::error!("{error}; the points wait in memory");
                }
                self.trouble = Some(error);
            }
            Err(error) => self.trouble = Some(format!("writing the file failed: {error}")),
        }
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// They could not be written to the file.
    pub(super) async fn finish(mut self) -> Result<(), ServiceEnd> {
        self.flush().await;
        if let Some(carbon) = self.carbon {
            let dropped = carbon.finish().await;
            tracing::info!(dropped, "no more points for carbon");
        }
        match self.trouble {
            Some(trouble) => Err(ServiceEnd::Failed(trouble)),
            None => Ok(()),
        }
    }
}
