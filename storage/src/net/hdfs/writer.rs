//! Writes files.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::Client;
use hdfs_native::file::FileWriter;
use tokio::time::sleep;

use super::connection::Connection;
use super::{Hdfs, HdfsError, HdfsProblem};

/// A file being written. After an error it is of no use: begin another one. Dropping it closes what was written, in the
/// background.
pub struct HdfsWriter {
    hdfs: Hdfs,
    connection: Arc<Connection>,
    name: String,
    /// Absent after an error.
    writer: Option<FileWriter>,
    /// Bytes written, and those of them that are synced.
    written: u64,
    synced: u64,
}

impl HdfsWriter {
    pub(super) fn new(hdfs: Hdfs, connection: Arc<Connection>, name: String, writer: FileWriter) -> Self {
        Self { hdfs, connection, name, writer: Some(writer), written: 0, synced: 0 }
    }

    /// Appends bytes, at most 1 MiB at a time.
    ///
    /// # Errors
    /// No datanode takes them, or the file was ended by another process.
    pub fn write(&mut self, bytes: Bytes) -> Result<(), HdfsError> {
        let count = bytes.len() as u64;
        self.work(
            "write",
            |mut writer| async move { Box::pin(writer.write_bytes(bytes)).await.map(|_| writer) },
        )?;
        self.written += count;
        Ok(())
    }

    /// Makes everything so far durable on the datanodes, and its length known.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn sync(&mut self) -> Result<(), HdfsError> {
        self.work("sync", |mut writer| async move { writer.hsync().await.map(|()| writer) })?;
        self.synced = self.written;
        Ok(())
    }

    /// Ends the file; everything is durable. It must not be empty.
    ///
    /// A name node does not end a file before the datanodes have reported its last block, which takes a few milliseconds
    /// longer than the answer to its writer. The crate then waits for half a second; this asks again at once.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn close(mut self) -> Result<(), HdfsError> {
        let (client, path) = (self.connection.client().clone(), self.hdfs.path(&self.name));
        let (written, is_synced) = (self.written, self.synced == self.written);
        self.work("close", |mut writer| async move {
            if is_synced {
                // Nothing would show that the name node knows the last block.
                Box::pin(writer.close()).await?;
            } else {
                Box::pin(close(&client, &path, &mut writer, written)).await?;
            }
            Ok(writer)
        })?;
        // It is closed: there is nothing left for the background.
        self.writer = None;
        Ok(())
    }

    fn work<F>(&mut self, doing: &str, work: impl FnOnce(FileWriter) -> F) -> Result<(), HdfsError>
    where
        F: Future<Output = hdfs_native::Result<FileWriter>> + Send + 'static,
    {
        let failed = |problem| self.hdfs.error(format!("{doing} {}", self.name), problem);
        let Some(writer) = self.writer.take() else {
            return Err(failed(HdfsProblem::Fenced("it failed before".to_owned())));
        };
        match self.connection.run(self.hdfs.options().transfer, work(writer)) {
            Ok(writer) => {
                self.writer = Some(writer);
                Ok(())
            }
            Err(problem) => {
                self.hdfs.look_at(&self.connection, &problem);
                // The crate does not say whose connection was refused. The name node has answered before.
                let problem = match problem {
                    HdfsProblem::Unreachable(why) => HdfsProblem::NoDatanode(why),
                    other => other,
                };
                Err(failed(problem))
            }
        }
    }
}

impl Drop for HdfsWriter {
    fn drop(&mut self) {
        // Without it, the crate's tasks go on for ever, and the name node waits for the writer's return.
        if let Some(mut writer) = self.writer.take() {
            self.connection.leave(self.hdfs.options().transfer, async move {
                if let Err(error) = Box::pin(writer.close()).await {
                    tracing::debug!("a file that was given up could not be closed: {error}");
                }
            });
        }
    }
}

/// Closes a file whose length at the name node is below `bytes` until the name node knows its last block.
async fn close(client: &Client, path: &str, writer: &mut FileWriter, bytes: u64) -> hdfs_native::Result<()> {
    /// Pauses between two looks.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
    /// Time for an answer that is on its way.
    const ANSWER: Duration = Duration::from_millis(4);
    {
        let mut closing = Box::pin(writer.close());
        let mut pause = PAUSES.0;
        loop {
            tokio::select! {
                closed = &mut closing => return closed,
                () = sleep(pause) => {}
            }
            pause = PAUSES.1.min(pause * 2);
            // The first attempt has told the name node how long the last block is.
            if client.get_file_info(path).await?.length as u64 >= bytes {
                break;
            }
        }
        tokio::select! {
            closed = &mut closing => return closed,
            () = sleep(ANSWER) => {}
        }
        // Now it waits for half a second, and is dropped.
    }
    let mut wait = ANSWER;
    loop {
        let closed = tokio::time::timeout(wait, Box::pin(writer.close())).await;
        match closed {
            Ok(Ok(())) => return Ok(()),
            // An answer that was not waited for may have been that it is closed.
            Ok(Err(error)) => {
                let is_closed = client.recover_lease(path).await?;
                let is_whole = client.get_file_info(path).await?.length as u64 == bytes;
                return if is_closed && is_whole { Ok(()) } else { Err(error) };
            }
            Err(_) => wait = (wait * 2).min(Duration::from_secs(1)),
        }
    }
}
